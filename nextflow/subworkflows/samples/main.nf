// The sample sheet, checked before anything starts. Functions only: no plugin is needed.

include { meant } from '../parameters/main'
include { problemsOf } from '../parameters/main'

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

// Whether samples are called without training anything.
def isCalling(settings) {
    return settings.reader || settings.mode == 'annotate-files'
}

// A row with the defaults filled in, as a sample: its meta map and its path.
def sampleOf(row, settings, sheet) {
    def role = row.role ?: (isCalling(settings) ? 'predict' : 'train')
    def prepared = settings.prepare && settings.markers && role == 'train' ? 'label' : ''
    def label = row.label ?: settings.label ?: prepared
    def meta = [
        id: row.sample,
        organism: (row.organism ?: settings.organism).replace('_', ' '),
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
    if (isCalling(settings) && !samples) {
        wrong << "no sample has the role 'predict', and with --reader none is trained"
    }
    if (!isCalling(settings) && !training) {
        wrong << "no sample has the role 'train'"
    }
    wrong += samples.findAll { sample -> sample.meta.id in ['out-of-fold', 'reader'] }
        .collect { sample -> "sample '${sample.meta.id}': the pipeline has files of its own under this name; choose another" }
    ['organism', 'label', 'donor'].each { name ->
        def values = training.collect { sample -> sample.meta[name] }.unique()
        if (values.size() > 1) {
            wrong << "samples with the role 'train' are merged, but their ${name} differs (${values.join(', ')})"
        }
    }
    return wrong
}

// The samples that the entry point is about, said where others stand in the sheet.
def wantedOf(samples, settings) {
    if (settings.mode == 'train') {
        return samples
    }
    def role = isCalling(settings) ? 'predict' : 'train'
    def wanted = samples.findAll { sample -> sample.meta.role == role }
    if (wanted && wanted.size() < samples.size()) {
        def others = (samples - wanted).collect { sample -> sample.meta.id }
        def reader = settings.mode == 'annotate-files' ? '' : settings.reader ? ' with --reader' : ' without --reader'
        log.warn("Ignored by --mode ${settings.mode}${reader}: ${others.join(', ')}")
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
        .collect { name -> "line 1: the column '${name}' is repeated" }
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
        .collect { name, same -> "lines ${same.collect { entry -> entry.number }.join(', ')}: sample '${name}' occurs ${same.size()} times" }
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
