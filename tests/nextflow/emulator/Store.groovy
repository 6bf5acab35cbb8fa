import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.security.MessageDigest

/** A task's folder; ``done`` where an earlier run left its outputs there, ``evals`` what commands for outputs said. */
class Place {
    File folder
    boolean done = false
    Map evals = [:]
}

/** Task folders by what goes into a task, and with -resume what earlier runs left in them. */
class Store {
    File work
    boolean resume
    int cached = 0

    /** The folder of a task; as the engine does, a new one where the last try in it came to no end. */
    Place place(String alias, String identity) {
        for (int trial = 0; ; trial++) {
            def folder = new File(work, "${digest(identity + trial)}-$alias")
            def kept = new File(folder, '.kept.json')
            if (resume && kept.exists()) {
                cached++
                return new Place(folder: folder, done: true, evals: new JsonSlurper().parse(kept) as Map)
            }
            if (folder.mkdirs()) { return new Place(folder: folder) }
        }
    }

    void keep(Place place) {
        if (!place.done) { new File(place.folder, '.kept.json').text = JsonOutput.toJson(place.evals) }
    }

    private static String digest(String text) { MessageDigest.getInstance('SHA-256').digest(text.getBytes('UTF-8')).encodeHex().toString().take(16) }
}
