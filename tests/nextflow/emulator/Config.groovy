/** nextflow.config and what it includes, as nested maps; closures stay closures. */
class Node {
    Map values = [:]
    Config config
    String scope

    Object getProperty(String name) {
        if (name in ['values', 'config', 'scope']) { return this.@"$name" }
        if (name == 'params') { return config.params }
        if (name == 'projectDir') { return config.projectDir }
        if (!values.containsKey(name)) { values[name] = new Node(config: config, scope: name) }
        values[name]
    }

    void setProperty(String name, Object value) {
        if (name in ['values', 'config', 'scope']) { this.@"$name" = value; return }
        values[name] = value
    }

    Object invokeMethod(String name, Object args) {
        def list = args as List
        if (name == 'includeConfig') { config.include(list[0].toString(), this); return null }
        if (name in ['__select', 'block']) { return block(list[0].toString(), list[1]) }
        if (name in ['withName', 'withLabel']) { return block("$name:${list[0]}", list[1]) }
        if (name == 'assign') { return assign(list[0], list[1]) }
        if (list.size() == 1 && list[0] instanceof Closure) { return block(name, list[0]) }
        throw new Failure("config: '$name' is no block")
    }

    private void assign(List<String> names, Object value) {
        def node = names.init().inject(this) { Object node, String name -> node.getProperty(name) }
        node.setProperty(names.last(), value)
    }

    private Object block(String name, Closure body) {
        if (scope == 'profiles') {
            if (!(name in config.profiles)) { config.known << name; return null }
            config.known << name
            return config.run(body, config.root)
        }
        if (name == 'params') { return config.run(body, new ParamsNode(config: config)) }
        def node = getProperty(name)
        config.run(body, node instanceof Node ? node : (values[name] = new Node(config: config, scope: name)))
    }
}

class ParamsNode {
    Config config

    Object getProperty(String name) { name == 'config' ? this.@config : name == 'projectDir' ? config.projectDir : config.params[name] }

    void setProperty(String name, Object value) {
        if (name == 'config') { this.@config = value; return }
        if (!config.given.containsKey(name)) { config.params[name] = value }
    }

    void assign(List<String> names, Object value) { setProperty(names[0], value) }
}

class Config {
    Map params = [:]
    Map given = [:]
    List<String> profiles = []
    Set<String> known = []
    String projectDir
    Node root
    Language strict // null: read as the older parser does

    Config load() {
        params.putAll(given)
        root = new Node(config: this, scope: 'root')
        include("$projectDir/nextflow.config", root)
        def strangers = profiles - known
        if (strangers) { throw new Failure("Unknown configuration profile: ${strangers.join(', ')}") }
        this
    }

    File folder

    void include(String place, Node node) {
        def before = folder
        def file = place.startsWith('/') ? new File(place) : new File(folder, place)
        folder = file.parentFile
        run(strict ? read(file, node) : readAsGroovy(file), node)
        folder = before
    }

    private Closure read(File file, Node node) {
        def script = strict.of(file).getDeclaredConstructor().newInstance() as Script
        script.binding = new Binding([__node: node])
        return { -> script.run() }
    }

    private static Closure readAsGroovy(File file) {
        def text = file.text.replaceAll(/(withName|withLabel): ?('?)([\w|!.*]+)('?) \{/, '__select("$1:$3") {')
        new GroovyShell(Config.classLoader).evaluate("{ -> $text\n}") as Closure
    }

    Object run(Closure body, Object delegate) {
        def copy = body.clone() as Closure
        copy.delegate = delegate
        copy.resolveStrategy = Closure.DELEGATE_ONLY
        copy.call()
    }

    /** Settings of one process: by label, then by its own name, then by its alias. */
    Map settings(String base, String alias, List<String> labels) {
        def all = root.values['process'].values
        def chosen = all.findAll { key, value -> !(key.startsWith('withName:') || key.startsWith('withLabel:')) }
        def result = flat(chosen)
        def apply = { String key, node ->
            def own = flat(node.values)
            result = result + own + [ext: (result.ext ?: [:]) + (own.ext ?: [:])]
        }
        all.findAll { key, value -> key.startsWith('withLabel:') && labels.any { it.matches(key.substring(10)) } }.each(apply)
        [base, alias].unique().each { name ->
            all.findAll { key, value -> key.startsWith('withName:') && name.matches(key.substring(9)) }.each(apply)
        }
        result
    }

    private Map flat(Map values) {
        values.collectEntries { key, value -> [key, value instanceof Node ? flat(value.values) : value] }
    }
}
