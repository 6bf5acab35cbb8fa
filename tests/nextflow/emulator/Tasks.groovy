/** Runs the tasks of a process: stages inputs, writes the script, runs it with bash, takes the outputs. */
class Tasks {
    Run run
    File work
    String mode // run, stub, or plan: no bash at all
    String path
    int bytes // of each planned file
    int count = 0
    int longest = 0
    Map stats = [ignoredCount: 0]

    private Object evaluate(Closure body, Map vars) { run.config.run(body, new TaskScope(tasks: this, vars: vars)) }

    Object runAll(Map component, String alias, List args) {
        def inputs = component.inputs
        if (args.size() != inputs.size()) { throw new Failure("$alias takes ${inputs.size()} inputs, not ${args.size()}") }
        def channels = args.collect { it instanceof Ch ? it : Ch.single(it) }
        def queues = channels.findAll { !it.value }
        if (queues*.items*.size().unique().size() > 1) { throw new Failure("$alias: queue channels of different length: ${queues*.items*.size()}") }
        def number = queues ? queues[0].items.size() : (channels.every { it.items } ? 1 : 0)
        if (number && channels.any { it.value && !it.items }) { number = 0 }
        def settings = run.config.settings(component.base, alias, component.labels)
        def declared = component.outputs
        def emitted = declared.collectEntries { [it[1].emit, []] }
        (0..<number).each { i ->
            def items = channels.collect { it.value ? it.items[0] : it.items[i] }
            def result = runOne(component, alias, items, settings)
            if (result == null) { return }
            result.eachWithIndex { value, n ->
                if (value == null) { return }
                def marks = declared[n][1]
                emitted[marks.emit] << value
                if (marks.topic) { run.topics[marks.topic] << value }
            }
        }
        emitted.collectEntries { name, list -> [name, queues ? Ch.queue(list) : new Ch(items: list, value: list.size() < 2)] }
    }

    private List runOne(Map component, String alias, List items, Map settings) {
        def folder = new File(work, String.format('%05d-%s', ++count, alias))
        folder.mkdirs()
        def vars = [:]
        component.inputs.eachWithIndex { declared, n ->
            def values = declared.size() == 1 ? [items[n]] : items[n] as List
            if (values.size() != declared.size()) { throw new Failure("$alias: a tuple of ${values.size()}, not ${declared.size()}: $values") }
            declared.eachWithIndex { one, k ->
                def value = values[k]
                if (value instanceof Ch) { throw new Failure("$alias: a channel used as a value") }
                if (value == null) { throw new Failure("$alias: ${one.name} is null") }
                if (one.kind == 'path') {
                    def files = value instanceof List ? value : [value]
                    if (files.any { !(it instanceof NfPath) }) { throw new Failure("$alias: ${one.name} is no path: $value") }
                    def staged = Staged.stage(files, one.stageAs)
                    if (staged*.relative.unique(false).size() < staged.size()) { throw new Failure("$alias: input file name collision: ${staged*.relative}") }
                    staged.each { link(folder, it) }
                    value = staged.size() == 1 ? staged[0] : staged
                }
                vars[one.name] = value
            }
        }
        def task = [process: alias, cpus: number(settings.cpus, 1), attempt: 1, exitStatus: 1, accelerator: settings.accelerator]
        vars.task = task
        vars.moduleDir = component.owner.binding.getVariable('moduleDir')
        task.ext = (settings.ext ?: [:]).collectEntries { key, value -> [key, value instanceof Closure ? evaluate(value, vars + [task: task + [ext: [:]]]) : value] }
        ['tag', 'container'].each { if (component.head[it] instanceof Closure) { evaluate(component.head[it], vars) } }
        def text = evaluate(mode == 'stub' ? component.stub : component.script, vars).toString()
        def declared = component.outputs
        longest = Math.max(longest, text.size())
        def failed = mode == 'plan' ? plan(folder, declared, vars) : bash(folder, text, alias)
        if (failed) {
            def strategy = settings.errorStrategy instanceof Closure ? evaluate(settings.errorStrategy, vars + [task: task + [exitStatus: failed]]) : settings.errorStrategy
            if (strategy == 'ignore') { stats.ignoredCount++; println "NOTE: $alias ${vars.meta?.id} failed -- Error is ignored"; return null }
            throw new Failure("Process `$alias (${vars.meta?.id})` terminated with an error exit status ($failed)\n" + new File(folder, '.command.err').text)
        }
        declared.collect { output -> outputOf(folder, output, vars, alias) }
    }

    private Object outputOf(File folder, List output, Map vars, String alias) {
        def missing = false
        def values = evaluate(output[0], vars).collect { one ->
            if (one.containsKey('val')) { return one.val instanceof CharSequence ? one.val.toString() : one.val }
            if (one.containsKey('eval')) { return mode == 'plan' ? one.eval : sh(folder, one.eval.toString()).trim() }
            def found = new File(folder, one.path.toString())
            if (!found.exists()) { missing = true }
            NfPath.of(found.path)
        }
        if (missing) {
            if (output[1].optional) { return null }
            throw new Failure("$alias: missing output $values")
        }
        values.size() == 1 ? values[0] : values
    }

    private static int number(Object value, int otherwise) { value instanceof Integer ? value : otherwise }

    private void link(File folder, Staged staged) {
        def target = new File(folder, staged.relative)
        target.parentFile.mkdirs()
        java.nio.file.Files.createSymbolicLink(target.toPath(), staged.source.real.toAbsolutePath())
    }

    private int plan(File folder, List declared, Map vars) {
        declared.each { evaluate(it[0], vars).each { one -> if (one.path) { new File(folder, one.path.toString()).text = ' ' * bytes } } }
        0
    }

    private int bash(File folder, String text, String alias) {
        new File(folder, '.command.sh').text = '#!/bin/bash -euo pipefail\n' + text.stripIndent().trim() + '\n'
        def builder = new ProcessBuilder('/bin/bash', '-euo', 'pipefail', '.command.sh').directory(folder)
        builder.environment().PATH = path
        run.config.root.env.values.each { name, value -> builder.environment()[name] = value.toString() }
        builder.redirectOutput(new File(folder, '.command.out')).redirectError(new File(folder, '.command.err'))
        def begun = System.currentTimeMillis()
        def status = builder.start().waitFor()
        println "${alias} ${folder.name} ${(System.currentTimeMillis() - begun).intdiv(100) / 10} s, exit status $status"
        status
    }

    private String sh(File folder, String command) {
        def builder = new ProcessBuilder('/bin/bash', '-c', command).directory(folder).redirectErrorStream(true)
        builder.environment().PATH = path
        def process = builder.start()
        def text = process.inputStream.text
        if (process.waitFor() != 0) { throw new Failure("eval '$command' failed: $text") }
        text
    }
}

class Directives {
    Map head = [:]
    List labels = []
    Object getProperty(String name) {
        if (name in ['head', 'labels']) { return this.@"$name" }
        throw new Failure("directive reads `$name` too early")
    }
    Object invokeMethod(String name, Object args) {
        if (name == 'label') { labels << args[0] } else { head[name] = args[0] }
        null
    }
}

class Inputs {
    Object invokeMethod(String name, Object args) {
        def list = args as List
        def options = list[0] instanceof Map ? list[0] : [:]
        [kind: name, name: list.last(), stageAs: options.stageAs]
    }
}

/** Names that a script block, an output or a setting of a task knows. */
class TaskScope {
    Tasks tasks
    Map vars
    Object getProperty(String name) {
        if (name in ['tasks', 'vars']) { return this.@"$name" }
        if (vars.containsKey(name)) { return vars[name] }
        if (tasks.run.globals.containsKey(name)) { return tasks.run.globals[name] }
        throw new Failure("`$name` is not defined in the process")
    }
    void setProperty(String name, Object value) {
        if (name in ['tasks', 'vars']) { this.@"$name" = value; return }
        vars[name] = value
    }
    Object invokeMethod(String name, Object args) {
        def list = args as List
        if (name == 'error') { throw new Failure(list[0].toString()) }
        if (name in ['val', 'path', 'eval']) { return [(name): list.last()] }
        throw new Failure("`$name` is not a function of a process")
    }
}
