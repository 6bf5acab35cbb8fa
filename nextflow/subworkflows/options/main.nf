// What each step is asked for, as part of its samples' meta maps. With the strict parser, releases before
// 26.04 do not see on -resume that task.ext has changed (nextflow 6695); inputs they see. Functions only.

// Each step's parameters, those of its ext.args in conf/modules.config, as one text.
def optionsOf(settings) {
    def training = ['method', 'seed', 'llm', 'trainOptions']
    def read = [
        CHECK_SAMPLE: ['prepare', 'buildOptions'],
        FETCH_DESCRIPTIONS: ['source', 'fetchOptions'],
        EMBED_GENES: ['embedOptions'],
        PREPARE_CELLS: ['seed', 'prepareOptions'],
        BUILD_CELLS: ['buildOptions'],
        BUILD_UNLABELLED_CELLS: ['buildOptions'],
        BUILD_TRAINING_CELLS: ['seed', 'folds', 'groupBy', 'buildOptions'],
        TRAIN_READER: training,
        TRAIN_FOLD: training + ['folds', 'groupBy'],
        PREDICT: ['llm', 'minConfidence', 'targetPrecision', 'minFamiliarity', 'explain', 'predictOptions'],
        PREDICT_HELD_OUT: ['llm', 'explain', 'predictOptions'],
        PLOT: ['plotOptions'],
        ANNOTATE: ['llm', 'minConfidence', 'minFamiliarity', 'annotateOptions'],
    ]
    return read.collectEntries { step, names ->
        def given = names.findAll { name -> settings[name] != null }
        [step, given.collect { name -> "${name}=${settings[name]}" }.join(' ')]
    }
}

// A sample's meta map with what a step is asked for.
def asking(meta, text) {
    return meta + [options: text]
}

// The meta map as it was before the step.
def asBefore(meta) {
    return meta.findAll { key, _value -> key != 'options' }
}
