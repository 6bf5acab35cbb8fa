// What failed, from the run's trace, told in the run report. Functions only.

// The trace of this run; some releases read --outdir too late for it, and write to the default folder.
def traceOf(parameters) {
    return [parameters.outdir, 'results']
        .collect { folder -> file("${folder}/pipeline_info/execution_trace_${parameters.reportSuffix}.tsv", glob: false) }
        .find { path -> path.exists() }
}

// The last line that a task said, of standard error or else of standard output.
def lastLine(folder) {
    def texts = ['.command.err', '.command.out']
        .collect { name -> file("${folder}/${name}", glob: false) }
        .findAll { path -> path.exists() }
        .collect { path -> path.text.readLines().findAll { line -> line.trim() } }
        .findAll { lines -> lines }
    return texts ? texts[0][-1].trim().replace('\t', ' ') : ''
}

// The tasks that failed and were not tried again: sample, step, exit status, last line, work folder.
def failures(trace) {
    def lines = trace.readLines().collect { line -> line.split('\t', -1).toList() }
    def tasks = lines.drop(1).collect { fields -> [lines[0], fields].transpose().collectEntries { pair -> [pair[0], pair[1]] } }
    return tasks
        .findAll { task -> task.status == 'FAILED' }
        .groupBy { task -> task.name }
        .findAll { name, _tries -> !tasks.any { task -> task.name == name && task.status in ['COMPLETED', 'CACHED'] } }
        .collect { name, tries ->
            def sample = (name =~ '\\((\\S+)').collect { match -> match[1] }
            [
                sample: sample ? sample[-1].replaceAll('\\)$', '') : '',
                step: name.tokenize(' ')[0].tokenize(':')[-1],
                exit: tries[-1].exit,
                reason: lastLine(tries[-1].workdir),
                folder: tries[-1].workdir,
            ]
        }
}

// A text as it stands in a page.
def escaped(text) {
    return text.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')
}

// Fills the places that the run report leaves for what failed: table and page, of each sample.
def fillReport(report, found) {
    found.groupBy { one -> one.sample }.each { sample, of_sample ->
        def first = of_sample[0]
        def words = [first.step, first.exit, first.reason, first.folder]
        def table = "${sample}\tfailed\t\t\t\t"
        report.table = report.table.replace("\n${table}", "\n${sample}\tfailed\t${words.join('\t')}")
        report.page = report.page.replace("<!-- ${sample} -->", escaped("${first.step}, exit status ${first.exit}: ${first.reason} (${first.folder})"))
    }
    return report
}

// Says at the end of a run which tasks it went on without, in the log and in the run report.
def tellFailures(parameters) {
    def trace = traceOf(parameters)
    def found = trace ? failures(trace) : []
    if (found) {
        def lines = found.collect { one -> "${one.step} (${one.sample}), exit status ${one.exit}: ${one.reason}\n    ${one.folder}" }
        log.warn("${found.size()} ${found.size() == 1 ? 'task' : 'tasks'} failed and the run went on without:\n  ${lines.join('\n  ')}")
        def table = file("${parameters.outdir}/run-report.tsv", glob: false)
        def page = file("${parameters.outdir}/run-report.html", glob: false)
        if (table.exists() && page.exists()) {
            def filled = fillReport([table: table.text, page: page.text], found)
            [[table, filled.table], [page, filled.page]].each { path, text ->
                path.delete() // it may be a link to the task's own
                path.text = text
            }
        }
    }
}
