import groovy.transform.Memoized
import nextflow.config.control.ConfigResolveVisitor
import nextflow.config.control.ConfigToGroovyVisitor
import nextflow.config.parser.ConfigParserPluginFactory
import nextflow.script.control.Compiler
import nextflow.script.control.GStringToStringVisitor
import nextflow.script.control.OpCriteriaVisitor
import nextflow.script.control.ResolveIncludeVisitor
import nextflow.script.control.ScriptResolveVisitor
import nextflow.script.control.ScriptToGroovyVisitor
import nextflow.script.parser.ScriptParserPluginFactory
import org.codehaus.groovy.control.CompilationUnit
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.ParserPluginFactory
import org.codehaus.groovy.control.Phases
import org.codehaus.groovy.control.SourceUnit
import org.codehaus.groovy.control.io.FileReaderSource

/**
 * The pipeline's files read by Nextflow's own strict parser and turned into the Groovy that Nextflow
 * turns them into; the names that this Groovy calls are Tokens, StrictScript and StrictSettings.
 */
class Language extends ClassLoader {
    private Map<String, byte[]> bytes = [:]
    private Map<String, String> names = [:]

    private Language() { super(Language.classLoader) }

    protected Class findClass(String name) {
        def code = bytes[name]
        if (!code) { throw new ClassNotFoundException(name) }
        defineClass(name, code, 0, code.length)
    }

    Class of(File file) { loadClass(names[file.canonicalPath]) }

    /** Every script at once, as each is resolved against those it includes; read once for all runs of a batch. */
    @Memoized
    static Language scripts(Collection<File> files) {
        def compile = new Language().&compile.curry(files, StrictScript, new ScriptParserPluginFactory())
        compile { unit, compiler ->
            [
                { source -> new ResolveIncludeVisitor(source, compiler).with { it.visit(); it.errors.each { error -> source.errorCollector.addErrorAndContinue(error) } } },
                { source -> new ScriptResolveVisitor(source, unit, [], []).visit() },
                { source ->
                    if (source.errorCollector.hasErrors()) { return }
                    new ScriptToGroovyVisitor(source).visit()
                    def type = source.AST.classes[0]
                    new OpCriteriaVisitor(source).visitClass(type)
                    new GStringToStringVisitor(source).visitClass(type)
                },
            ]
        }
    }

    @Memoized
    static Language settings(Collection<File> files) {
        def compile = new Language().&compile.curry(files, StrictSettings, new ConfigParserPluginFactory())
        compile { unit, _compiler ->
            [
                { source -> new ConfigResolveVisitor(source, unit, []).visit() },
                { source -> if (!source.errorCollector.hasErrors()) { new ConfigToGroovyVisitor(source).visit() } },
            ]
        }
    }

    private Language compile(Collection<File> files, Class base, ParserPluginFactory parser, Closure steps) {
        def settings = new CompilerConfiguration(scriptBaseClass: base.name, pluginFactory: parser)
        def unit = new CompilationUnit(settings, null, new GroovyClassLoader(Language.classLoader, settings))
        def compiler = new Compiler(unit)
        files.each { file ->
            def name = '_strict' + file.canonicalPath.replaceAll('[^A-Za-z0-9]', '_')
            def source = new SourceUnit(name, new FileReaderSource(file.canonicalFile, settings), settings, unit.classLoader, unit.errorCollector)
            unit.addSource(source)
            compiler.addSource(source)
            names[file.canonicalPath] = name
        }
        steps(unit, compiler).each { unit.addPhaseOperation(it as CompilationUnit.ISourceUnitOperation, Phases.CONVERSION) }
        unit.compile(Phases.CLASS_GENERATION)
        unit.classes.each { bytes[it.name] = it.bytes }
        this
    }
}
