/**
 * The pipeline's files as plain Groovy. Sections become closures; names of inputs become strings.
 * Only the pipeline's own way of writing is understood: four blanks before a section's label.
 */
class Source {
    static final SECTIONS = ['input', 'output', 'script', 'stub', 'take', 'main', 'emit']

    /** The body between the braces of `kind NAME {` at the start of a line, and the lines around. */
    static String rewrite(String text) {
        def out = []
        def lines = text.readLines()
        def i = 0
        while (i < lines.size()) {
            def line = lines[i]
            def include = line =~ /^include \{ (\w+)(?: as (\w+))? \} from '(.+)'$/
            def block = line =~ /^(process|workflow) ?(\w*) \{$/
            if (line.startsWith('#!')) {
                out << ''
            } else if (include) {
                out << "__include('${include[0][1]}', '${include[0][2] ?: include[0][1]}', '${include[0][3]}')"
            } else if (block) {
                def end = (i..<lines.size()).find { lines[it] == '}' }
                out << (block[0][1] == 'process' ? process(block[0][2], lines[i + 1..<end]) : workflow(block[0][2], lines[i + 1..<end]))
                i = end
            } else if (line.startsWith('include') || line.startsWith('process') || line.startsWith('workflow')) {
                throw new Failure("not written as the emulator reads it: $line")
            } else {
                out << line
            }
            i++
        }
        out.join('\n')
    }

    static Map<String, List<String>> sections(List<String> lines) {
        def result = [head: []].withDefault { [] }
        def now = 'head'
        lines.each { line ->
            def label = line =~ /^    (\w+):$/
            if (label && label[0][1] in SECTIONS) { now = label[0][1]; result[now] = [] } else { result[now] << line }
        }
        result
    }

    static List<String> statements(List<String> lines) {
        lines.collect { it.replaceAll(/ \/\/ .*$/, '').trim() }.findAll { it }
    }

    static String process(String name, List<String> lines) {
        def part = sections(lines)
        def inputs = statements(part.input).collect { line ->
            '[' + line.replaceFirst(/^tuple /, '').replaceAll(/(val|path)\((\w+)/, "\$1('\$2'") + ']'
        }
        def outputs = statements(part.output).collect { line ->
            def quoted = line.replaceFirst(/^tuple /, '').replaceAll(/(emit|topic): (\w+)/, "\$1: '\$2'")
            def named = quoted.findAll(/(?:emit|topic|optional): [^,]+/)
            def items = quoted.replaceAll(/, (?:emit|topic|optional): [^,]+/, '')
            "[{ -> [$items] }, [${named.join(', ')}]]"
        }
        """__process('$name', { -> ${part.head.collect { it.replaceFirst(/^    (tag|container|conda) (.+)$/, '    $1({ -> $2 })') }.join('\n')}
        }, { -> [${inputs.join(', ')}] }, { -> [${outputs.join(', ')}] }, { ->
        ${part.script.join('\n')}
        }, { ->
        ${part.stub.join('\n')}
        })"""
    }

    static String workflow(String name, List<String> lines) {
        def part = sections(lines)
        def body = part.main ?: part.head
        def takes = statements(part.take)
        def emits = statements(part.emit).collect { line ->
            def (left, right) = line.split(' = ', 2)
            "__emit('$left', $right)"
        }
        """__workflow('$name', ${takes.inspect()}, { ->
        ${branches(body.join('\n'))}
        ${emits.join('\n')}
        })"""
    }

    /** branch { a, b -> label: test } becomes branches(label: { a, b -> test }, ...). */
    static String branches(String text) {
        text.replaceAll(/(?s)\.branch \{ ([\w, ]+) ->\n(.*?)\n    \}/) { whole, names, tests ->
            def pairs = tests.readLines().collect { (it =~ /^\s*(\w+): (.+)$/)[0] }.collect { "${it[1]}: { $names -> ${it[2]} }" }
            ".branches(${pairs.join(', ')})"
        }
    }
}
