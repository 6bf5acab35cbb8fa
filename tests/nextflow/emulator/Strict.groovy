import nextflow.script.BodyDef
import nextflow.script.IncludeDef
import nextflow.script.TaskClosure
import nextflow.script.Token
import nextflow.script.TokenVar

/** What a script calls that the strict parser has read. */
abstract class StrictScript extends NfScript {
    IncludeDef include(IncludeDef wanted) { wanted.script = this; wanted }

    void process(String name, Closure declaration) {
        def reader = new ProcessReader()
        def body = engine.config.run(declaration, reader) as BodyDef
        engine.define(this, name, [kind: 'process', script: body.closure] + reader.found)
    }

    void workflow(String name = '', Closure declaration) {
        def reader = new WorkflowReader()
        def body = engine.config.run(declaration, reader) as BodyDef
        engine.define(this, name, [kind: 'workflow', takes: reader.takes, body: body.closure])
    }
}

class WorkflowReader {
    List<String> takes = []
    void _take_(String name) { takes << name }
    void _emit_(String _name) { }
}

class ProcessReader {
    Map found = [head: [:], labels: [], inputs: [], outputs: [], stub: null]

    Object getProperty(String name) {
        if (name == 'found') { return this.@found }
        throw new Failure("directive reads `$name` too early")
    }

    Object invokeMethod(String name, Object args) {
        def list = args as List
        def options = list && list[0] instanceof Map ? list.remove(0) : [:]
        def kind = name.replaceFirst(/^_(in|out)_/, '')
        if (name.startsWith('_in_')) {
            found.inputs << (kind == 'tuple' ? list.collect { declared(it.kind, it.options, it.target) } : [declared(kind, options, list[0])])
        } else if (name.startsWith('_out_')) {
            assert kind == 'tuple'
            found.outputs << [items(list), options]
        } else if (name == 'stub') {
            found.stub = (list[0] as TaskClosure).closure
        } else if (name == 'label') {
            found.labels << list[0]
        } else {
            found.head[name] = list[0]
        }
        null
    }

    private static Map declared(String kind, Map options, Object target) { [kind: kind, name: (target as TokenVar).name, stageAs: options.stageAs] }

    private static Closure items(List<Token> tokens) {
        return { -> tokens.collect { [(it.kind): ProcessReader.valueOf(it.target, delegate)] } }
    }

    static Object valueOf(Object target, Object scope) {
        if (target instanceof TokenVar) { return scope.getProperty(target.name) }
        if (!(target instanceof Closure)) { return target }
        def lazy = target.clone() as Closure
        lazy.delegate = scope
        lazy.resolveStrategy = Closure.DELEGATE_ONLY
        lazy.call()
    }
}

/** What a file of settings calls that the strict parser has read. */
abstract class StrictSettings extends Script {
    Object invokeMethod(String name, Object args) { binding.getVariable('__node').invokeMethod(name, args) }
    Object getProperty(String name) { name == 'binding' ? super.getProperty(name) : binding.getVariable('__node').getProperty(name) }
}
