// Parameters and sample sheet, checked before anything starts. Functions only: no plugin is needed.

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

// What is wrong with one value (null: it was not given), as a list of lines.
def problemsOf(shown, value, spec) {
    def text = value == null ? '' : value.toString()
    if (text == '') {
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
    return spec.exists ? file(text, glob: false) : text
}

// The nearest known name, as a question, for a name that is unknown.
def meant(name, known) {
    def plain = name.toLowerCase().replaceAll('[^a-z0-9]', '')
    def bare = known.collectEntries { other -> [other, other.toLowerCase().replaceAll('[^a-z0-9]', '')] }
    def near = known.find { other -> bare[other] == plain } ?: known.find { other -> bare[other].startsWith(plain.take(4)) }
    return near ? " Did you mean '${near}'?" : ''
}

// What contradicts itself among the parameters, as a list of lines.
def contradictions(given) {
    def wrong = []
    def trained = given.mode == 'annotate' || given.reader
    if (given.mode == 'annotate' && !given.reader) {
        wrong << '--mode annotate needs --reader, a reader from train-reader'
    }
    if (given.mode == 'train' && given.reader) {
        wrong << '--mode train makes a reader and takes no --reader; use --mode annotate or evaluate'
    }
    if (given.folds == 1) {
        wrong << '--folds is 0 (no cross-validation) or 2 and more'
    }
    if (given.mode == 'evaluate' && !trained && given.folds < 2) {
        wrong << '--mode evaluate needs --reader, or --folds to cross-validate'
    }
    if (given.groupBy && given.folds < 2) {
        wrong << '--group-by needs --folds, in how many parts its groups are held out'
    }
    if (given.markers && !given.prepare) {
        wrong << '--markers is read by prepare-cells only; add --prepare'
    }
    if (given.minConfidence != null && given.targetPrecision != null) {
        wrong << '--min-confidence and --target-precision exclude each other'
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
    def problems = given.keySet()
        .findAll { name -> !specs.containsKey(name) }
        .collect { name -> "${option(name)} is no parameter of this pipeline.${meant(name, specs.keySet().collect { known -> option(known) })}" }
    problems += specs
        .findAll { name, spec -> spec.required && !given[name] }
        .collect { name, spec -> "${option(name)} is missing: ${spec.description}" }
    problems += specs.collectMany { name, spec -> problemsOf(option(name), given[name], spec) }
    def settings = [:]
    if (!problems) {
        settings = specs.collectEntries { name, spec -> [name, converted(given[name], spec)] }
        problems += specs
            .findAll { name, spec -> spec.exists && settings[name] && !settings[name].exists() }
            .collect { name, _spec -> "${option(name)}: there is no '${given[name]}'" }
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

// The fields of one line of CSV, without blanks around them and without their quotes.
def csvFields(line) {
    def matches = (line =~ '\\s*("(?:[^"]|"")*"|[^,]*?)\\s*(,|$)').collect { match -> [match[1], match[2]] }
    def end = matches.findIndexOf { match -> match[1] == '' }
    return matches.take(end + 1).collect { match ->
        match[0].startsWith('"') ? match[0].replaceAll('^"|"$', '').replace('""', '"').trim() : match[0]
    }
}

// A sample's path: absolute, a URL, or from the folder of the sheet.
def locate(text, sheet) {
    return text.contains('://') ? file(text, glob: false) : sheet.toAbsolutePath().parent.resolve(text).normalize()
}

// What is wrong with one row, as a list of lines.
def problemsOfRow(row, rules) {
    def specs = rules.specs
    def missing = rules.required
        .findAll { name -> !row[name] }
        .collect { name -> "no ${name}: ${specs[name].description}" }
    def wrong = specs.collectMany { name, spec -> problemsOf(name, row[name], spec) }
    def absent = row.path && !locate(row.path, rules.sheet).exists() ? ["path: there is no '${row.path}'"] : []
    return missing + wrong + absent
}

// A row with the defaults filled in, as a sample: its meta map and its path.
def sampleOf(row, settings, sheet) {
    def role = row.role ?: (settings.mode == 'annotate' || settings.reader ? 'predict' : 'train')
    def prepared = settings.prepare && settings.markers && role == 'train' ? 'label' : ''
    def label = row.label ?: settings.label ?: prepared
    def meta = [
        id: row.sample,
        organism: row.organism ?: settings.organism,
        role: role,
        label: label,
        donor: row.donor ?: settings.donor ?: '',
        labelled: label != '',
    ]
    return [meta: meta, path: locate(row.path, sheet)]
}

// What is wrong with the sheet as a whole, as a list of lines.
def problemsOfSheet(samples, settings) {
    def training = samples.findAll { sample -> sample.meta.role == 'train' }
    def wrong = samples.findAll { sample -> sample.meta.role == 'train' && !sample.meta.label }
        .collect { sample -> "sample '${sample.meta.id}': a reader learns from labels; name their column in 'label' or with --label" }
    if (settings.mode == 'evaluate') {
        wrong += samples.findAll { sample -> sample.meta.role == 'predict' && !sample.meta.label }
            .collect { sample -> "sample '${sample.meta.id}': calls are measured against labels; name their column in 'label' or with --label" }
    }
    if (settings.reader && !samples) {
        wrong << "no sample has the role 'predict', and --reader says that none is to be trained"
    }
    if (!settings.reader && !training) {
        wrong << "no sample has the role 'train'"
    }
    wrong += samples.findAll { sample -> sample.meta.id in ['out-of-fold', 'reader'] }
        .collect { sample -> "sample '${sample.meta.id}': the pipeline has files of its own under this name; choose another" }
    ['organism', 'label', 'donor'].each { name ->
        def values = training.collect { sample -> sample.meta[name] }.unique()
        if (values.size() > 1) {
            wrong << "samples with the role 'train' are read as one: ${name} differs (${values.join(', ')})"
        }
    }
    return wrong
}

// The samples that the entry point is about, said where others stand in the sheet.
def wantedOf(samples, settings) {
    if (settings.mode == 'train') {
        return samples
    }
    def role = settings.reader ? 'predict' : 'train'
    def wanted = samples.findAll { sample -> sample.meta.role == role }
    if (wanted && wanted.size() < samples.size()) {
        def others = (samples - wanted).collect { sample -> sample.meta.id }
        log.warn("Left aside, as --mode ${settings.mode} ${settings.reader ? 'calls with a reader that is there' : 'cross-validates'}: ${others.join(', ')}")
    }
    return wanted
}

// What is wrong with the header, as a list of lines.
def problemsOfHeader(header, specs, required) {
    def wrong = header.findAll { name -> !specs.containsKey(name) }
        .collect { name -> "line 1: no column is named '${name}'.${meant(name, specs.keySet())} Columns: ${specs.keySet().join(', ')}, separated by commas" }
    wrong += required.findAll { name -> !(name in header) }
        .collect { name -> "line 1: the column '${name}' is missing" }
    wrong += header.findAll { name -> header.count(name) > 1 }.unique()
        .collect { name -> "line 1: the column '${name}' stands there twice" }
    return wrong
}

// One line of the sheet: its number, its fields by column, and what is wrong with it.
def entryOf(line, number, header, rules) {
    def fields = csvFields(line)
    def wrong = []
    if (line.count('"') % 2 != 0) {
        wrong << 'a quote is not closed'
    } else if (fields.size() != header.size()) {
        wrong << "${fields.size()} fields, but ${header.size()} columns"
    }
    def row = wrong ? [:] : [header, fields].transpose().collectEntries { pair -> [pair[0], pair[1]] }
    wrong += wrong ? [] : problemsOfRow(row, rules)
    return [number: number, row: row, problems: wrong.collect { text -> "line ${number}: ${text}" }]
}

// Names of samples that stand in several lines, as a list of lines.
def repeatedNames(entries) {
    return entries.findAll { entry -> entry.row.sample }
        .groupBy { entry -> entry.row.sample }
        .findAll { _name, same -> same.size() > 1 }
        .collect { name, same -> "lines ${same.collect { entry -> entry.number }.join(', ')}: sample '${name}' stands there ${same.size()} times" }
}

// The samples of the sheet: a list of maps with meta and path. Ends the run, naming every bad row.
def readSamples(settings, schema_file) {
    def schema = new groovy.json.JsonSlurper().parseText(schema_file.text)
    def sheet = settings.input
    def rules = [specs: schema.items.properties, required: schema.items.required, sheet: sheet]
    def lines = sheet.readLines()
    def header = lines ? csvFields(lines[0].replaceAll('^[^A-Za-z"]+', '')) : []
    def problems = problemsOfHeader(header, rules.specs, rules.required)
    def samples = []
    if (!problems) {
        def entries = lines.withIndex(1)
            .findAll { line, number -> number > 1 && line.trim() }
            .collect { line, number -> entryOf(line, number, header, rules) }
        problems += entries.collectMany { entry -> entry.problems } + repeatedNames(entries)
        if (!problems) {
            samples = wantedOf(entries.collect { entry -> sampleOf(entry.row, settings, sheet) }, settings)
            problems += entries ? problemsOfSheet(samples, settings) : ['there is no sample below the header']
        }
    }
    if (problems) {
        error("Sample sheet ${sheet.name}, nothing was started:\n  ${problems.join('\n  ')}")
    }
    return samples
}
