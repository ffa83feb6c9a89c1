"""How a model is trained, whichever it is: the loop, the optimizer, checkpoints, several workers.

In: a Keras model and a function that draws batches. Out: the best weights. Start with `loop`.
"""
