package nextflow.util

/** Called by what Nextflow's strict parser makes of a script block, for each value in it. */
class LangHelpers {
    static Object applyPathEscapeAware(Object value) { value.toString() }
}
