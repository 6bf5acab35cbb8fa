package nextflow.script

/** What Nextflow's strict parser makes of declarations: its own class names, as the emulator reads them. */
class TokenVar {
    String name
    TokenVar(String name) { this.name = name }
}

/** An input or output of a process: options such as stageAs, and a name, a text or a closure. */
abstract class Token {
    Map options = [:]
    Object target
    Token(Object target) { this.target = target }
    Token(Map options, Object target) { this.options = options; this.target = target }
    abstract String getKind()
}

class TokenValCall extends Token {
    TokenValCall(Object target) { super(target) }
    String getKind() { 'val' }
}

class TokenPathCall extends Token {
    TokenPathCall(Object target) { super(target) }
    TokenPathCall(Map options, Object target) { super(options, target) }
    String getKind() { 'path' }
}

class TokenEvalCall extends Token {
    TokenEvalCall(Object target) { super(target) }
    String getKind() { 'eval' }
}

class BodyDef {
    Closure closure
    BodyDef(Closure closure, String _source, Object... _more) { this.closure = closure }
}

class TaskClosure {
    Closure closure
    TaskClosure(Closure closure, String _source) { this.closure = closure }
}

class TokenBranchDef {
    Closure closure
    List<String> branches
    TokenBranchDef(Closure closure, List<String> branches) { this.closure = closure; this.branches = branches }
}

class TokenBranchChoice {
    Object value
    String choice
    TokenBranchChoice(Object value, String choice) { this.value = value; this.choice = choice }
}

class IncludeDef {
    static class Module {
        String name
        String alias
        Module(String name, String alias = null) { this.name = name; this.alias = alias ?: name }
    }

    List<Module> modules
    String place
    Object script
    IncludeDef(List<Module> modules) { this.modules = modules }
    IncludeDef from(Object place) { this.place = place.toString(); this }
    void load0(Map _params) { modules.each { script.engine.include(script, it.name, it.alias, place) } }
}
