"""What makes a training step right on several replicas: shares, means, noise cut in pieces."""

import keras
import tensorflow as tf


class Replicas:
    """The replicas that take each step together: those of a tf.distribute `strategy`, or one.

    With `sync_batch_norm` several replicas take their batch statistics together (`sync`), so that
    they compute what one would.
    """

    def __init__(self, strategy=None, sync_batch_norm=True):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.count = self.strategy.num_replicas_in_sync
        self.sync = self.count > 1 and sync_batch_norm
        self.here = len(self.strategy.extended.worker_devices) if self.count > 1 else 1

    def share_out(self, *batches):
        """This process's share of a batch, tensors [B, ...], cut for its replicas."""
        return batches if self.here == 1 else [self._cut(batch) for batch in batches]

    def run(self, step, *shares):
        """Takes the step on all replicas, in a graph; returns what the first one here returns."""
        results = self.strategy.run(step, shares)
        return self.strategy.experimental_local_results(results)[0]

    # From here on to `average_statistics`, the methods are for use inside `run`.

    def whole(self, shape):
        """The shape of the whole batch, from the shape of a replica's share."""
        return tf.concat([shape[:1] * self.count, shape[1:]], axis=0)

    def mine(self, whole):
        """This replica's share of a tensor for the whole batch."""
        if self.count == 1:
            return whole
        size = tf.shape(whole)[0] // self.count
        first = self._context().replica_id_in_sync_group * size
        return whole[first : first + size]

    def mean(self, scalars):
        """The means of the replicas' scalars, by name, in float32."""
        if self.count == 1:
            return scalars
        values = tf.stack([tf.cast(value, tf.float32) for value in scalars.values()])
        means = tf.unstack(self._context().all_reduce("MEAN", values))
        return dict(zip(scalars, means, strict=True))

    def apply(self, optimizer, gradients):
        """Updates the optimizer's variables by the mean of the replicas' gradients."""
        if self.count > 1:
            # The optimizer adds them up over the replicas.
            gradients = [gradient / self.count for gradient in gradients]
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                # The same on all, so that all replicas skip a step or none does.
                gradients = self._context().all_reduce("MEAN", gradients)
        optimizer.apply(gradients)

    def average_statistics(self, *networks):
        """Makes moving batch statistics the mean of the replicas', unless batch norm does that."""
        if self.count == 1 or self.sync:
            return
        variables = [value for network in networks for value in network.non_trainable_variables]
        # They are means themselves: it is the same at each step or once before saving.
        means = self._context().all_reduce("MEAN", [tf.identity(value) for value in variables])
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)

    def move(self, average, network, decay):
        """Takes the average's weights to `decay` times their distance from the network's."""

        def update(variable, weight):
            variable.assign(weight + tf.cast(decay, weight.dtype) * (variable - weight))

        pairs = zip(average.trainable_variables, network.trainable_variables, strict=True)
        for variable, weight in pairs:
            self.strategy.extended.update(variable.value, update, args=(weight.value,))

    def _cut(self, batch):
        parts = tf.split(batch, self.here)
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group % self.here]
        )

    def _context(self):
        return tf.distribute.get_replica_context()
