// Parameters, checked before anything starts. Functions only: no plugin is needed.

// Names and specifications of all parameters, from nextflow_schema.json.
def specifications(schema_file) {
    def schema = new groovy.json.JsonSlurper().parseText(schema_file.text)
    return schema['$defs'].values().inject([:]) { all, group ->
        all + group.properties.collectEntries { name, spec ->
            [name, spec + [required: name in (group.required ?: [])]]
        }
    }
}

// A parameter as it is written on the command line: shardMegabytes is --shard-megabytes.
def option(name) {
    return '--' + name.replaceAll('([A-Z])', '-$1').toLowerCase()
}

// What is wrong with one value, as a list of lines. Null, or nothing where there is no default: it was not given.
def problemsOf(shown, value, spec) {
    def text = value?.toString()
    if (text == null || (text == '' && !spec.containsKey('default'))) {
        return []
    }
    if (spec.type == 'boolean') {
        return text in ['true', 'false'] ? [] : ["${shown} is true or false, not '${text}'"]
    }
    if (spec.type == 'integer' && !(text ==~ '-?[0-9]{1,9}')) {
        return ["${shown} is a whole number, not '${text}'"]
    }
    if (spec.type == 'number' && !text.isBigDecimal()) {
        return ["${shown} is a number, not '${text}'"]
    }
    if (spec.type in ['integer', 'number']) {
        def number = text.toBigDecimal()
        if (spec.minimum != null && number < spec.minimum) {
            return ["${shown} is ${text}, less than ${spec.minimum}"]
        }
        if (spec.maximum != null && number > spec.maximum) {
            return ["${shown} is ${text}, more than ${spec.maximum}"]
        }
        return []
    }
    if (spec['enum'] && !(text in spec['enum'])) {
        return ["${shown} is '${text}', not one of ${spec['enum'].join(', ')}"]
    }
    if (spec.pattern && !(text ==~ spec.pattern)) {
        return ["${shown} is '${text}': ${spec.errorMessage ?: 'does not fit ' + spec.pattern}"]
    }
    return []
}

// Whether a text is a name where a file or a name may stand: one of its form that no file has.
def isName(text, spec) {
    return spec.names && text ==~ spec.names && !file(text, glob: false).exists()
}

// A parameter's value in the type its specification names; paths that must exist become paths.
def converted(value, spec) {
    def text = value == null ? '' : value.toString()
    if (spec.type == 'boolean') {
        return text == 'true'
    }
    if (text == '') {
        return null
    }
    if (spec.type == 'integer') {
        return text.toInteger()
    }
    if (spec.type == 'number') {
        return text.toBigDecimal()
    }
    return spec.exists && !isName(text, spec) ? file(text, glob: false) : text
}

// Whether a file begins as HDF5 files do.
def isHdf5(path) {
    return path.withInputStream { stream -> new String(stream.readNBytes(4), 'ISO-8859-1') == '\u0089HDF' }
}

// What is wrong with a path that must exist, as a list of lines.
def problemsOfFile(shown, text, path, spec) {
    if (!path.exists()) {
        return ["${shown}: there is no '${text}'"]
    }
    if (spec.format == 'file-path' && path.isDirectory()) {
        return ["${shown}: '${text}' is a folder, not a file"]
    }
    return spec.mimetype == 'application/x-hdf5' && !isHdf5(path) ? ["${shown}: '${text}' is no HDF5 file"] : []
}

// The nearest known name, as a question, for a name that is unknown.
def meant(name, known) {
    def plain = name.toLowerCase().replaceAll('[^a-z0-9]', '')
    def bare = known.collectEntries { other -> [other, other.toLowerCase().replaceAll('[^a-z0-9]', '')] }
    def near = known.find { other -> bare[other] == plain } ?: known.find { other -> bare[other].startsWith(plain.take(4)) }
    return near ? " Did you mean '${near}'?" : ''
}

// Parameters that are given but would change nothing where files are annotated, as a list of lines.
def unusedByFiles(given) {
    def unused = ['genes', 'embeddings', 'prepare', 'unlabelled', 'buildOptions', 'targetPrecision', 'explain', 'ontology', 'predictOptions']
    return unused
        .findAll { name -> given[name] }
        .collect { name -> "--mode annotate-files has no use for ${option(name)}; options of annotate are given with --annotate-options" }
}

// What contradicts itself among the parameters, as a list of lines.
def contradictions(given) {
    def wrong = given.mode == 'annotate-files' ? unusedByFiles(given) : []
    def trained = given.mode == 'annotate' || given.reader != null
    def pictures = (given.plots ?: '').tokenize(',')
    def named = ['examples', 'types'].findAll { name -> given[name] != null }
    if (given.mode == 'annotate' && given.reader == null) {
        wrong << '--mode annotate needs --reader, a reader from train-reader'
    }
    if (given.mode == 'annotate-files' && given.reader == null && !named) {
        wrong << '--mode annotate-files needs --reader, --examples or --types'
    }
    if (given.mode != 'annotate-files') {
        named.each { name -> wrong << "${option(name)} is read by --mode annotate-files only" }
    }
    if (given.examples != null && (given.reader != null || given.types != null)) {
        wrong << '--examples takes the place of --reader and --types'
    }
    if (given.unlabelled != null && (given.method != 'few-labels' || given.reader != null)) {
        wrong << '--unlabelled is read by --method few-labels only, where a reader is trained'
    }
    if (given.mode != 'annotate-files' && given.reader instanceof String) {
        wrong << "--reader: there is no '${given.reader}' (--mode annotate-files takes names of readers, too)"
    }
    if (given.mode == 'train' && given.reader != null) {
        wrong << '--mode train trains a reader and does not accept --reader; use --mode annotate or evaluate'
    }
    if (given.folds == 1) {
        wrong << '--folds must be 0 (no cross-validation) or at least 2'
    }
    if (given.mode == 'evaluate' && !trained && given.folds < 2) {
        wrong << '--mode evaluate needs --reader, or --folds to cross-validate'
    }
    if (given.groupBy && given.folds < 2) {
        wrong << '--group-by requires --folds, the number of folds its groups are assigned to'
    }
    if (given.markers != null && !given.prepare && given.mode != 'annotate-files') {
        wrong << '--markers is read by prepare-cells and annotate only; add --prepare'
    }
    if (given.minConfidence != null && given.targetPrecision != null) {
        wrong << '--min-confidence and --target-precision are mutually exclusive'
    }
    if ('genes' in pictures && !given.explain && !(given.predictOptions ?: '').contains('--explain')) {
        wrong << '--plots genes needs --explain, the number of genes to store for each call'
    }
    if ('umap' in pictures && (given.predictOptions ?: '').contains('--no-vectors')) {
        wrong << '--plots umap draws the vectors that --predict-options --no-vectors leaves out; choose other --plots'
    }
    return wrong
}

// A parameter's name as in the configuration, however it was written: shard-megabytes is shardMegabytes.
def configured(name) {
    return name.replaceAll('-([a-z])') { _all, letter -> letter.toUpperCase() }
}

// The parameters as a map of checked, typed values. Ends the run, naming all that is wrong.
def checkedSettings(parameters, schema_file) {
    def specs = specifications(schema_file)
    // Some releases hold a parameter under both of its names. With hyphens it comes from the command line.
    def given = parameters.findAll { name, _value -> !name.contains('-') }
    given += parameters.findAll { name, _value -> name.contains('-') }
        .collectEntries { name, value -> [configured(name), value] }
    def unknown = given.keySet()
        .findAll { name -> !specs.containsKey(name) }
        .collect { name -> "${option(name)} is not a parameter of this pipeline.${meant(name, specs.keySet().collect { known -> option(known) })}" }
    // Profiles of institutions set parameters of other pipelines, too.
    if (given.custom_config_base) {
        unknown.each { line -> log.warn(line) }
    }
    def problems = given.custom_config_base ? [] : unknown
    problems += specs
        .findAll { name, spec -> spec.required && !given[name] }
        .collect { name, spec -> "${option(name)} is missing: ${spec.description}" }
    problems += specs.collectMany { name, spec -> problemsOf(option(name), given[name], spec) }
    def settings = [:]
    if (!problems) {
        settings = specs.collectEntries { name, spec -> [name, converted(given[name], spec)] }
        settings.mode = settings.mode ?: (['reader', 'examples', 'types'].any { name -> settings[name] != null } ? 'annotate-files' : 'train')
        problems += specs
            .findAll { name, spec -> spec.exists && settings[name] != null && !(settings[name] instanceof String) }
            .collectMany { name, spec -> problemsOfFile(option(name), given[name], settings[name], spec) }
        problems += contradictions(settings)
    }
    if (problems) {
        error("Parameters, nothing was started:\n  ${problems.join('\n  ')}\n  (--help lists the parameters)")
    }
    return settings
}

// The parameters by group, for --help.
def parameterHelp(schema_file) {
    def schema = new groovy.json.JsonSlurper().parseText(schema_file.text)
    def groups = schema['$defs'].values().collect { group ->
        def lines = group.properties.collect { name, spec ->
            def fallback = spec.containsKey('default') ? " [default: ${spec['default']}]" : ''
            "  ${option(name).padRight(20)} ${spec.description}${fallback}"
        }
        "${group.title}\n${lines.join('\n')}"
    }
    return "\nnextflow run main.nf --input samples.csv --outdir results\n\n${groups.join('\n\n')}\n"
}
