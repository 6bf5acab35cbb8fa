import nextflow.script.TokenBranchChoice
import nextflow.script.TokenBranchDef

/** Channels as lists: what the pipeline's operators do, for a run without the engine. Anything else is an error. */

class Failure extends RuntimeException {
    Failure(String message) { super(message) }
}

class GroupKey {
    Object target
    int size
    boolean equals(Object other) { target == (other instanceof GroupKey ? other.target : other) }
    int hashCode() { target.hashCode() }
    Object getGroupTarget() { target }
    String toString() { target.toString() }
}

class Ch {
    static Random order // in which items of several channels come; null: one channel after the other
    List items
    boolean value

    static Ch queue(Collection items) { new Ch(items: items.toList(), value: false) }
    static Ch single(Object item) { new Ch(items: [item], value: true) }

    Ch map(Closure work) { new Ch(items: items.collect { work.call(it) }, value: value) }
    Ch flatMap(Closure work) { queue(items.collectMany { work.call(it) as List }) }
    Ch filter(Closure wanted) { queue(items.findAll { wanted.call(it) }) }
    Ch unique() { queue(items.unique(false)) }
    Ch mix(Ch other) { queue(order ? (items + other.items).tap { Collections.shuffle(it, order) } : items + other.items) }
    Ch first() {
        if (!items) { throw new Failure('first() of an empty queue: what waits for it waits for ever') }
        new Ch(items: items.take(1), value: true)
    }
    Ch toSortedList(Closure order) { single(items.sort(false, order)) }

    Map branch(Closure definition) {
        def branches = definition.call() as TokenBranchDef
        def chosen = items.collect { branches.closure.call(it) as TokenBranchChoice }
        branches.branches.collectEntries { name -> [name, queue(chosen.findAll { it?.choice == name }*.value)] }
    }

    Map branches(Map<String, Closure> tests) {
        def result = tests.keySet().collectEntries { [it, []] }
        items.each { item -> def name = tests.find { it.value.call(item) }?.key; if (name) { result[name] << item } }
        result.collectEntries { name, list -> [name, queue(list)] }
    }

    private static List parts(Object item) { item instanceof List ? item : [item] }

    Ch combine(Map options = [:], Ch other) {
        if (options.containsKey('by')) {
            assert options.by == 0
            return queue(items.collectMany { left ->
                other.items.findAll { it[0] == left[0] }.collect { right -> left + right.drop(1) }
            })
        }
        queue(items.collectMany { left -> other.items.collect { right -> parts(left) + parts(right) } })
    }

    Ch join(Ch other) {
        [this, other].each { side ->
            def keys = side.items.collect { it[0] }
            if (keys.unique(false).size() != keys.size()) { throw new Failure("join: a key comes twice: $keys") }
        }
        queue(items.collectMany { left ->
            other.items.findAll { it[0] == left[0] }.collect { right -> left + right.drop(1) }
        })
    }

    Ch groupTuple(Map options = [:]) {
        def groups = [:]
        items.each { item -> groups.computeIfAbsent(item[0]) { [] } << item }
        queue(groups.collectMany { key, members ->
            def size = options.size ?: (key instanceof GroupKey ? key.size : null)
            if (size == null) { throw new Failure('groupTuple without a size waits for all samples') }
            members.size() < size ? [] : [[key] + (1..<members[0].size()).collect { i -> members.collect { it[i] } }]
        })
    }

    Ch collectFile(Map options) {
        def folder = new File(options.storeDir.toString())
        folder.mkdirs()
        def texts = (options.sort ? items.sort(false) : items).collect { assert it instanceof CharSequence; it + (options.newLine ? '\n' : '') }
        def target = new File(folder, options.name)
        target.text = texts.join('')
        queue([target.path])
    }

    def methodMissing(String name, Object args) { throw new Failure("channel operator '$name' is not emulated") }
}

/** `channel.` factories. */
class Factory {
    Map<String, List> topics
    Ch empty() { Ch.queue([]) }
    Ch of(Object... items) { Ch.queue(items as List) }
    Ch fromList(List items) { Ch.queue(items) }
    Ch value(Object item) { Ch.single(item) }
    Ch topic(String name) { Ch.queue(topics.getOrDefault(name, [])) }
}
