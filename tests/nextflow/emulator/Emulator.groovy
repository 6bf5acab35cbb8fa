import org.codehaus.groovy.control.CompilerConfiguration

/** What a script of the pipeline can call beside the functions it defines or includes. */
abstract class NfScript extends Script {
    Map<String, List> included = [:]

    Run getEngine() { binding.getVariable('__run') as Run }
    void __include(String name, String alias, String place) { engine.include(this, name, alias, place) }
    void __process(String name, Closure head, Closure inputs, Closure outputs, Closure script, Closure stub) {
        def directives = new Directives()
        engine.config.run(head, directives)
        engine.define(this, name, [
            kind: 'process', head: directives.head, labels: directives.labels, script: script, stub: stub,
            inputs: engine.config.run(inputs, new Inputs()), outputs: engine.config.run(outputs, new Inputs()),
        ])
    }
    void __workflow(String name, List takes, Closure body) { engine.define(this, name, [kind: 'workflow', takes: takes, body: body]) }
    NfPath file(Map options = [:], Object text) { NfPath.of(text) }
    void error(Object text) { throw new Failure(text.toString()) }
    GroupKey groupKey(Object target, int size) { new GroupKey(target: target, size: size) }

    def methodMissing(String name, Object args) {
        def target = included[name]
        if (!target) { throw new MissingMethodException(name, this.class, args as Object[]) }
        target[0].invokeMethod(target[1], args)
    }
}

/** Names that a workflow's body knows. Anything else is a mistake that the engine does not forgive. */
class Scope {
    Run run
    NfScript script
    Map vars = [:]
    Map outs = [:]

    Object getProperty(String name) {
        if (name in ['run', 'script', 'vars', 'outs']) { return this.@"$name" }
        if (vars.containsKey(name)) { return vars[name] }
        if (run.globals.containsKey(name)) { return run.globals[name] }
        if (outs.containsKey(name)) { return outs[name] }
        throw new Failure("`$name` is not defined")
    }

    void setProperty(String name, Object value) {
        if (name in ['run', 'script', 'vars', 'outs']) { this.@"$name" = value; return }
        if (vars[name] instanceof Ch && value == null) { throw new Failure("$name becomes null") }
        vars[name] = value
    }

    Object invokeMethod(String name, Object args) {
        if (name == '__emit') { vars['__emits'] = (vars['__emits'] ?: [:]) + [(args[0]): args[1]]; return null }
        if (name == '_emit_') { return invokeMethod('__emit', [args[0], vars[args[0]]]) }
        def component = run.component(script, name)
        if (!component) { return script.invokeMethod(name, args) }
        if (outs.containsKey(name)) { throw new Failure("$name is called twice; include it under another name") }
        outs[name] = [out: run.call(component, name, args as List)]
        outs[name].out
    }
}

class Run {
    String projectDir
    Config config
    Map globals
    Map<String, List> topics = [:].withDefault { [] }
    Map<String, NfScript> scripts = [:]
    Map<NfScript, Map> defined = [:].withDefault { [:] }
    Tasks tasks
    Closure onComplete
    Language strict // null: read as the older parser does

    NfScript load(String place) {
        def path = new File(place).canonicalPath
        if (scripts[path]) { return scripts[path] }
        def script = read(new File(path))
        script.binding = new Binding([__run: this, moduleDir: new File(path).parent] + globals)
        scripts[path] = script
        script.run()
        script
    }

    private NfScript read(File file) {
        if (strict) { return strict.of(file).getDeclaredConstructor().newInstance() as NfScript }
        def settings = new CompilerConfiguration(scriptBaseClass: NfScript.name)
        def name = 'Nf_' + file.path.replaceAll('[^A-Za-z0-9]', '_') + '.groovy'
        new GroovyShell(Run.classLoader, new Binding(), settings).parse(Source.rewrite(file.text), name) as NfScript
    }

    void include(NfScript from, String name, String alias, String place) {
        def folder = from.binding.getVariable('moduleDir')
        def script = load("$folder/${place}.nf")
        if (defined[script].containsKey(name)) {
            defined[from][alias] = defined[script][name]
        } else if (script.metaClass.respondsTo(script, name)) {
            from.included[alias] = [script, name]
        } else {
            throw new Failure("$place defines no $name")
        }
    }

    void define(NfScript script, String name, Map component) {
        defined[script][name] = component + [owner: script, base: name]
    }

    Map component(NfScript script, String name) { defined[script][name] }

    Object call(Map component, String alias, List args) {
        if (component.kind == 'process') { return tasks.runAll(component, alias, args) }
        if (args.size() != component.takes.size()) { throw new Failure("$alias takes ${component.takes.size()} inputs, not ${args.size()}") }
        def scope = new Scope(run: this, script: component.owner)
        scope.vars = [component.takes, args].transpose().collectEntries { it }
        config.run(component.body, scope)
        scope.vars['__emits'] ?: [:]
    }

    /** Words of one run; or `batch=FILE`, a JSON object of lists of words: prints each one's outcome as JSON. */
    static void main(String... words) {
        Amounts.teach()
        if (!words[0].startsWith('batch=')) { System.exit(attempt(words as List, System.out, System.err)) }
        def cases = new groovy.json.JsonSlurper().parse(new File(words[0].substring(6)))
        def results = cases.collectEntries { name, list ->
            def out = new ByteArrayOutputStream(), err = new ByteArrayOutputStream()
            [name, [status: attempt(list, new PrintStream(out), new PrintStream(err)), stdout: out.toString('UTF-8'), stderr: err.toString('UTF-8')]]
        }
        println groovy.json.JsonOutput.toJson(results)
    }

    static int attempt(List<String> words, PrintStream out, PrintStream err) {
        def options = [:]
        def given = [:]
        words.each { word ->
            def (name, text) = word.replaceFirst(/^--/, '').split('=', 2)
            if (word.startsWith('--')) {
                given[name.replaceAll(/-([a-z])/) { _, letter -> letter.toUpperCase() }] = text
            } else {
                options[name] = text
            }
        }
        // The strict parser leaves what the command line says as text, the older one casts it.
        if ((options.types ?: (options.parser == 'v2' ? 'text' : 'cast')) == 'cast') { given = given.collectEntries { name, text -> [name, typed(text)] } }
        def before = System.out
        System.setOut(out)
        try {
            new Run().start(options, given)
            return 0
        } catch (Failure failure) {
            err.println("ERROR ~ ${failure.message}")
            return 1
        } finally {
            System.setOut(before)
        }
    }

    /** The pipeline's files but those of nf-test. */
    private List<File> files(String ending) {
        def found = []
        new File(projectDir).eachFileRecurse { if (it.name.endsWith(ending) && it.parentFile.name != 'tests' && it.name != 'nf-test.config') { found << it } }
        found
    }

    static Object typed(String text) {
        text in ['true', 'false'] ? text == 'true' : text.isInteger() ? text.toInteger() : text.isNumber() ? text.toDouble() : text
    }

    void start(Map options, Map given) {
        projectDir = options.project
        // Releases may hold shardMegabytes as shard-megabytes too (both), or what the command line says
        // as shard-megabytes beside shardMegabytes of the configuration (apart).
        def hyphened = { Map values -> values.collectEntries { name, value -> [name.replaceAll(/([A-Z])/, '-$1').toLowerCase(), value] } }
        def compound = options.names == 'apart' ? given.findAll { name, _value -> name =~ /[A-Z]/ } : [:]
        config = new Config(projectDir: projectDir, given: given - compound, profiles: (options.profile ?: '').tokenize(','))
        if (options.parser == 'v2') {
            strict = Language.scripts(files('.nf'))
            config.strict = Language.settings(files('.config'))
        }
        config.load()
        config.params += hyphened(options.names == 'both' ? config.params : compound)
        def log = [info: { text -> println text }, warn: { text -> println "WARN: $text" }]
        Ch.order = options.order ? new Random(options.order.toLong()) : null
        tasks = new Tasks(run: this, store: new Store(work: new File(options.work), resume: options.resume == 'true'),
            publishing: new Publishing(), mode: options.mode ?: 'run', path: options.path, order: Ch.order,
            bytes: (options.bytes ?: '0').toInteger())
        globals = [
            params: config.params, projectDir: projectDir, launchDir: new File('.').canonicalPath, log: log,
            channel: new Factory(topics: topics),
            workflow: [containerEngine: null, success: true, manifest: config.root.manifest.values, stats: tasks.stats,
                onComplete: { Closure work -> onComplete = work }],
        ]
        def main = load("$projectDir/main.nf")
        call(component(main, ''), '', [])
        // The engine asks a map of the parameters first, which has an answer to every name: null.
        onComplete?.delegate = [params: config.params]
        onComplete?.resolveStrategy = Closure.DELEGATE_FIRST
        onComplete?.call()
        println "${tasks.count} tasks, ${tasks.store.cached} cached, ${tasks.stats.ignoredCount} ignored, longest script ${tasks.longest} bytes"
    }
}
