"""scReader and the controls that it has to beat.

- ``methods``            all of them behind one interface: train and restore;
- ``baselines``          the most frequent label; logistic regression on the genes' expression;
- ``components``         logistic regression on principal components;
- ``genept``             GenePT-w and GenePT-s, with the text model that the latter needs;
- ``feature_classifier`` what the last two share: a classifier on fixed features;
- ``nearest_neighbours`` k nearest neighbours by cosine.
"""
