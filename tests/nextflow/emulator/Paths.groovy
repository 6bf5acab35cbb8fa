import java.nio.file.Files
import java.nio.file.Path

/** A file as workflow code sees it. */
class NfPath implements Comparable<NfPath> {
    Path real

    static NfPath of(Object text) { new NfPath(real: Path.of(text.toString())) }
    boolean exists() { Files.exists(real) }
    boolean isDirectory() { Files.isDirectory(real) }
    List<String> readLines() { real.toFile().readLines('UTF-8') }
    String getText() { real.toFile().getText('UTF-8') }
    String getName() { real.fileName.toString() }
    long size() { Files.size(real) }
    NfPath toAbsolutePath() { new NfPath(real: real.toAbsolutePath()) }
    NfPath getParent() { new NfPath(real: real.parent) }
    NfPath resolve(Object other) { new NfPath(real: real.resolve(other.toString())) }
    NfPath normalize() { new NfPath(real: real.normalize()) }
    int compareTo(NfPath other) { real <=> other.real }
    boolean equals(Object other) { other instanceof NfPath && real == other.real }
    int hashCode() { real.hashCode() }
    String toString() { real.toString() }
}

/** A file as a script block sees it: by the name it was staged under, blanks escaped. */
class Staged {
    String relative
    NfPath source
    String getName() { relative.tokenize('/')[-1] }
    String toString() { relative.replaceAll(/([ '"()&;<>|$\\])/, '\\\\$1') }

    /** Names of files staged by a pattern such as 'input?/*'. */
    static List<Staged> stage(List<NfPath> files, String pattern) {
        def many = files.size() > 1
        files.withIndex(1).collect { file, index ->
            def name = file.name
            if (pattern) {
                def parts = pattern.tokenize('/')
                name = parts.collect { part ->
                    if (part == '*' && part.is(parts[-1]) && parts.size() > 1) { return file.name }
                    part.replace('?', "$index").replace('*', many ? "$index" : '')
                }.join('/')
            }
            new Staged(relative: name, source: file)
        }
    }
}
