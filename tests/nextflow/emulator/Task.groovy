import java.nio.file.Files

/** One try of one task: stages inputs, writes the script, runs it with bash, takes the outputs. */
class Task {
    Tasks tasks
    Map component
    String alias
    Map settings
    int attempt
    Map vars = [:]
    List<Staged> staged = []
    String text

    String getName() { "$alias (${valueOf(settings.tag ?: component.head.tag)})" }
    String getResources() { "memory ${vars.task.memory.intdiv(1_000_000_000)} GB, time ${vars.task.time.intdiv(3600)} h" }

    /** Names and script of a task that takes ``items``, one for each declared input. */
    Task take(List items) {
        component.inputs.eachWithIndex { declared, n ->
            def values = declared.size() == 1 ? [items[n]] : items[n] as List
            if (values.size() != declared.size()) { throw new Failure("$alias: a tuple of ${values.size()}, not ${declared.size()}: $values") }
            declared.eachWithIndex { one, k -> vars[one.name] = one.kind == 'path' ? files(one, values[k]) : plain(one, values[k]) }
        }
        if (staged*.relative.unique(false).size() < staged.size()) { throw new Failure("$alias: input file name collision: ${staged*.relative}") }
        def task = [process: alias, cpus: settings.cpus instanceof Integer ? settings.cpus : 1, attempt: attempt, exitStatus: 1, accelerator: settings.accelerator]
        vars.task = task
        vars.moduleDir = component.owner.binding.getVariable('moduleDir')
        def limits = valueOf(settings.resourceLimits) ?: [:]
        ['memory', 'time'].each { what -> task[what] = Amounts.least(valueOf(settings[what]), limits[what]) }
        task.ext = (settings.ext ?: [:]).collectEntries { key, value -> [key, value instanceof Closure ? tasks.evaluate(value, vars + [task: task + [ext: [:]]]) : value] }
        valueOf(settings.container ?: component.head.container)
        text = tasks.evaluate(tasks.mode == 'stub' ? component.stub : component.script, vars).toString()
        this
    }

    private Object plain(Map declared, Object value) {
        if (value instanceof Ch) { throw new Failure("$alias: a channel used as a value") }
        if (value == null) { throw new Failure("$alias: ${declared.name} is null") }
        value
    }

    private Object files(Map declared, Object value) {
        def list = plain(declared, value) instanceof List ? value : [value]
        if (list.any { !(it instanceof NfPath) }) { throw new Failure("$alias: ${declared.name} is no path: $value") }
        def own = Staged.stage(list, declared.stageAs)
        staged += own
        own.size() == 1 ? own[0] : own
    }

    private Object valueOf(Object value) { value instanceof Closure ? tasks.evaluate(value, vars) : value }

    /**
     * What the engine decides by whether a task is done already: process, script, inputs (files by path, size
     * and time), settings that the script reads, commands for versions by their number, programs in bin.
     */
    String identity() {
        def source = new File(vars.moduleDir.toString(), 'main.nf').text
        def inputs = component.inputs.flatten().findAll { it.kind != 'path' }.collectEntries { [it.name, vars[it.name].toString()] }
        def linked = staged.collect { [it.relative, it.source.real.toString(), it.source.size(), Files.getLastModifiedTime(it.source.real).toMillis()] }
        def evals = component.outputs.collectMany { tasks.evaluate(it[0], vars).findAll { one -> one.eval } }*.eval*.toString()
        def programs = new File(tasks.run.projectDir, 'bin').listFiles().findAll { text.contains(it.name) }.collect { [it.name, it.lastModified()] }
        def ext = tasks.run.strict ? '' : vars.task.ext.toString() // v2 does not see it before 26.04: nextflow 6695
        [alias, source, inputs, linked, ext, tasks.called, evals, programs, tasks.mode].inspect()
    }

    Object strategy(int status) {
        vars.task.exitStatus = status
        valueOf(settings.errorStrategy)
    }

    /** Runs the script in ``folder``; returns its exit status. */
    int execute(File folder) {
        staged.each { one ->
            def target = new File(folder, one.relative)
            target.parentFile.mkdirs()
            Files.createSymbolicLink(target.toPath(), one.source.real.toAbsolutePath())
        }
        if (tasks.mode == 'plan') { return plan(folder) }
        new File(folder, '.command.sh').text = '#!/bin/bash -euo pipefail\n' + text.stripIndent().trim() + '\n'
        def builder = bash(folder, '-euo', 'pipefail', '.command.sh')
        tasks.run.config.root.env.values.each { name, value -> builder.environment()[name] = value.toString() }
        builder.redirectOutput(new File(folder, '.command.out')).redirectError(new File(folder, '.command.err'))
        builder.start().waitFor()
    }

    private int plan(File folder) {
        component.outputs.each { tasks.evaluate(it[0], vars).each { one -> if (one.path) { new File(folder, one.path.toString()).text = ' ' * tasks.bytes } } }
        0
    }

    private ProcessBuilder bash(File folder, String... words) {
        def builder = new ProcessBuilder(['/bin/bash', *words]).directory(folder)
        builder.environment().PATH = tasks.path
        builder
    }

    /** One value, list of values or, for an optional file that is missing, null for each declared output. */
    List outputs(Place place) { component.outputs.collect { output -> outputOf(place, output) } }

    private Object outputOf(Place place, List output) {
        def missing = false
        def values = tasks.evaluate(output[0], vars).collect { one ->
            if (one.containsKey('val')) { return one.val instanceof CharSequence ? one.val.toString() : one.val }
            if (one.containsKey('eval')) { return version(place, one.eval.toString()) }
            def found = new File(place.folder, one.path.toString())
            if (!found.exists()) { missing = true }
            NfPath.of(found.path)
        }
        if (missing) {
            if (output[1].optional) { return null }
            throw new Failure("$alias: missing output $values")
        }
        values.size() == 1 ? values[0] : values
    }

    private String version(Place place, String command) {
        if (tasks.mode == 'plan') { return command }
        if (place.evals.containsKey(command)) { return place.evals[command] }
        def process = bash(place.folder, '-c', command).redirectErrorStream(true).start()
        def said = process.inputStream.text
        if (process.waitFor() != 0) { throw new Failure("eval '$command' failed: $said") }
        place.evals[command] = said.trim()
    }
}
