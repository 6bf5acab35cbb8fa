import java.nio.file.Files
import java.nio.file.Path
import java.nio.file.StandardCopyOption

/** Copies outputs to where publishDir says; two tasks that publish the same file are an error. */
class Publishing {
    Map<Path, String> owners = [:]

    void publish(Task task, File folder, List outputs) {
        def wanted = task.settings.publishDir
        if (!wanted || wanted.enabled == false) { return }
        def target = task.tasks.evaluate(wanted.path, task.vars).toString()
        outputs.flatten().findAll { it instanceof NfPath }.each { file ->
            def name = folder.toPath().relativize(file.real).toString()
            def saved = wanted.saveAs ? named(task, wanted.saveAs, name) : name
            if (saved) { copy(task, file.real, Path.of(target, saved.toString()), wanted.overwrite) }
        }
    }

    private static Object named(Task task, Closure saveAs, String name) {
        task.tasks.evaluate({ -> saveAs.rehydrate(delegate, delegate, delegate).call(name) }, task.vars)
    }

    private void copy(Task task, Path source, Path target, Object overwrite) {
        def owner = owners.putIfAbsent(target, task.name)
        if (owner) { throw new Failure("$target is published by $owner and by $task.name") }
        if (Files.exists(target) && overwrite != true) { return }
        Files.createDirectories(target.parent)
        Files.copy(source, target, StandardCopyOption.REPLACE_EXISTING)
    }
}
