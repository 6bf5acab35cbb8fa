import nextflow.config.control.ConfigParser
import nextflow.lsp.services.config.ConfigSpecVisitor
import nextflow.lsp.spec.PluginSpecCache
import nextflow.script.control.ParanoidWarning
import nextflow.script.control.ScriptParser
import org.codehaus.groovy.control.SourceUnit
import org.codehaus.groovy.control.messages.SyntaxErrorMessage
import org.codehaus.groovy.control.messages.WarningMessage

/** What Nextflow's strict parser and its list of settings have against the files of a folder, as JSON. */
class Lint {
    static void main(String... words) {
        def folder = new File(words[0])
        def scripts = new ScriptParser(), settings = new ConfigParser()
        def count = 0
        folder.eachFileRecurse { file ->
            def parser = file.name.endsWith('.nf') ? scripts : file.name.endsWith('.config') && file.name != 'nf-test.config' ? settings : null
            if (parser) { parser.parse(file); count++ }
        }
        [scripts, settings]*.analyze()
        def configs = settings.compiler().sources.values()
        configs.each { new ConfigSpecVisitor(it, new PluginSpecCache(''), false).visit() }
        def found = (scripts.compiler().sources.values() + configs).collectMany { complaints(folder, it) }
        println groovy.json.JsonOutput.toJson([files: count, found: found.sort()])
    }

    private static List<String> complaints(File folder, SourceUnit source) {
        def place = folder.toURI().relativize(source.source.URI)
        def errors = (source.errorCollector.errors ?: []).collect { it instanceof SyntaxErrorMessage ? "$place:${it.cause.startLine}: ${it.cause.originalMessage}" : "$place: $it" }
        def warnings = (source.errorCollector.warnings ?: []).findAll { !(it instanceof ParanoidWarning) }
        errors + warnings.collect { WarningMessage it -> "$place:${it.context.startLine}: ${it.message}" }
    }
}
