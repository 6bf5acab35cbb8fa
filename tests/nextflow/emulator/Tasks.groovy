/** The tasks of each process: in which order they run, how often they are tried, what becomes of their outputs. */
class Tasks {
    Run run
    Store store
    Publishing publishing
    String mode // run, stub, or plan: no bash at all
    String path
    int bytes // of each planned file
    Random order // in which tasks end; null: in which they came
    int count = 0
    int longest = 0
    int called = 0 // processes so far
    Map stats = [ignoredCount: 0]

    Object evaluate(Closure body, Map vars) { run.config.run(body, new TaskScope(tasks: this, vars: vars)) }

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
        called++
        def sequence = (0..<number).toList()
        if (order) { Collections.shuffle(sequence, order) }
        sequence.each { i ->
            def items = channels.collect { it.value ? it.items[0] : it.items[i] }
            def result = outcome(component, alias, items, settings)
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

    /** The outputs of one task, tried again where its errorStrategy says so; null where the run goes on without. */
    private List outcome(Map component, String alias, List items, Map settings) {
        count++
        def attempt = 1
        while (true) {
            def task = new Task(tasks: this, component: component, alias: alias, settings: settings, attempt: attempt).take(items)
            longest = Math.max(longest, task.text.size())
            def place = store.place(alias, task.identity())
            def status = place.done ? 0 : task.execute(place.folder)
            println "${place.done ? 'CACHED' : status ? 'FAILED' : 'DONE'} $task.name, attempt $attempt, ${task.resources}, $place.folder.name"
            if (!status) {
                def outputs = task.outputs(place)
                store.keep(place)
                publishing.publish(task, place.folder, outputs)
                return outputs
            }
            def strategy = task.strategy(status)
            if (strategy == 'retry' && attempt <= settings.maxRetries) { attempt++; continue }
            if (strategy == 'ignore') { stats.ignoredCount++; println "NOTE: $task.name failed -- Error is ignored"; return null }
            throw new Failure("Process `$task.name` terminated with an error exit status ($status)\n" + new File(place.folder, '.command.err').text)
        }
    }
}
