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
