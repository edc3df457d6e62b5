"""The networks, optimizers and counters of a run, and the step that advances them."""

import keras
import tensorflow as tf

import srez_input
import srez_model

NOISE_STREAM = 2  # of random numbers; srez_input has its own for the augmentation


class Trainer:
    """The networks, optimizers and counters of a run, and the step that advances them.

    `config` is a TrainConfig, but its precision is one of run.device.PRECISIONS. Under a
    tf.distribute strategy with several replicas each of them takes its share of every batch.
    """

    def __init__(self, config, strategy=None):
        self.config = config
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        devices = self.strategy.extended.worker_devices if self.replicas > 1 else [""]
        self._local_replicas = len(devices)
        with self.strategy.scope():
            self._build()
        self.batch = tf.Variable(0, trainable=False, dtype=tf.int64)
        self.seconds = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self._nonfinite = tf.Variable(0, trainable=False, dtype=tf.int64)  # batch, or 0
        self._skipped = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._skipped_in_a_row = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._step = tf.function(self._train_step, jit_compile=config.jit_compile)

    def _build(self):
        config = self.config
        keras.utils.set_random_seed(config.random_seed)
        options = {"precision": config.precision}
        sync = self.replicas > 1 and config.sync_batch_norm
        self.generator = srez_model.build_generator(**options, sync=sync)
        self.discriminator = srez_model.build_discriminator(**options, sync=sync)
        # Its batch statistics are those of the last batch seen: see `refresh_average`.
        self.average = srez_model.build_generator(momentum=0.0, **options)
        self.average.set_weights(self.generator.get_weights())
        self.generator_optimizer = self._optimizer(self.generator)
        self.discriminator_optimizer = self._optimizer(self.discriminator)

    @property
    def state(self):
        """All that a checkpoint holds of the training, by name."""
        return {
            "average": self.average,
            "batch": self.batch,
            "discriminator": self.discriminator,
            "discriminator_optimizer": self.discriminator_optimizer,
            "generator": self.generator,
            "generator_optimizer": self.generator_optimizer,
            "seconds": self.seconds,
        }

    @property
    def traces(self):
        """How often the step was traced; more than once would cost seconds each time."""
        return self._step.experimental_get_tracing_count()

    def train_step(self, low_res, high_res, wishes=()):
        """Updates both networks from one forward pass; returns scalars by TensorBoard name.

        low_res [B, H, W, 3] and high_res [B, 4H, 4W, 3] are float32 in [0, 1]: the batch, or of
        several processes' batch this one's share. With `wishes`, numbers that this process has for
        all of them, comes "wishes", their sum over all processes [len(wishes)].
        """
        images = [low_res, high_res]
        wishes = tf.constant(wishes, tf.float32)
        count = self._local_replicas
        if count > 1:
            images = [self._shared_out(tf.split(some, count)) for some in images]
            # One replica says it for the process.
            wishes = self._shared_out([wishes, *[tf.zeros_like(wishes)] * (count - 1)])
        return self._step(*images, wishes)

    def _shared_out(self, parts):
        """A value per replica of this process, for `strategy.run`."""
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group % len(parts)]
        )

    def _train_step(self, low_res, high_res, wishes):
        steps_before = self._optimizer_steps()
        results = self.strategy.run(self._replica_step, (low_res, high_res, wishes))
        # They are the same in all replicas.
        scalars, wishes = self.strategy.experimental_local_results(results)[0]
        self.batch.assign_add(1)
        self._update_average()
        scalars |= self._watch(scalars, self._optimizer_steps() < steps_before + 2)
        return scalars | ({"wishes": wishes} if wishes.shape[0] else {})

    def _replica_step(self, low_res, high_res, wishes):
        """Applies all replicas' gradients; returns the means of their scalars, and the wishes."""
        scalars, *gradients = self.gradients(low_res, high_res)
        optimizers = (self.generator_optimizer, self.discriminator_optimizer)
        for optimizer, some in zip(optimizers, gradients, strict=True):
            optimizer.apply(self._same_for_all(some) if self._is_scaled else some)
        if self.replicas > 1:
            context = tf.distribute.get_replica_context()
            names, values = zip(*scalars.items(), strict=True)
            means = context.all_reduce(
                "MEAN", tf.stack([tf.cast(value, tf.float32) for value in values])
            )
            scalars = dict(zip(names, tf.unstack(means), strict=True))
            wishes = context.all_reduce("SUM", tf.identity(wishes))  # on this replica's device
            self._average_statistics(context)
        return scalars, wishes

    def _same_for_all(self, gradients):
        """Gradients that are the replicas' mean: a step is skipped by all replicas or by none."""
        if self.replicas == 1:
            return gradients
        return tf.distribute.get_replica_context().all_reduce("MEAN", gradients)

    def _average_statistics(self, context):
        """Makes the moving statistics the mean of the replicas', if batch norm doesn't do that.

        They are means themselves, so it is the same at each step or once before saving.
        """
        if self.config.sync_batch_norm:
            return
        networks = (self.generator, self.discriminator)
        variables = [one for network in networks for one in network.non_trainable_variables]
        means = context.all_reduce("MEAN", [tf.identity(one) for one in variables])
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(mean)

    @property
    def _is_scaled(self):
        return self.config.precision == "float16"

    def _watch(self, scalars, is_skipped):
        """Remembers the first batch with a loss that is not finite, and counts skipped steps.

        A step that float16's loss scaling skips may have such losses: it did no harm.
        """
        losses = tf.stack([value for name, value in scalars.items() if name.startswith("loss/")])
        is_first = ~(tf.reduce_all(tf.math.is_finite(losses)) | is_skipped | (self._nonfinite > 0))
        self._nonfinite.assign(tf.where(is_first, self.batch, self._nonfinite))
        self._skipped.assign_add(tf.cast(is_skipped, tf.int64))
        self._skipped_in_a_row.assign(tf.where(is_skipped, self._skipped_in_a_row + 1, 0))
        return {"skipped_steps": tf.cast(self._skipped, tf.float32)} if self._is_scaled else {}

    def _optimizer_steps(self):
        optimizers = (self.generator_optimizer, self.discriminator_optimizer)
        return tf.add_n([tf.convert_to_tensor(optimizer.iterations) for optimizer in optimizers])

    def diverged_at(self):
        """The batch since which losses or variables are not finite, or 0 if all are.

        Of the variables no more is known than that it was before now.
        """
        if not self._nonfinite and not self._variables_are_finite():
            self._nonfinite.assign(self.batch)
        return int(self._nonfinite)

    @property
    def skipped_in_a_row(self):
        """How many steps in a row float16's loss scaling has skipped, up to now."""
        return int(self._skipped_in_a_row)

    @tf.function
    def _variables_are_finite(self):
        objects = [value for value in self.state.values() if hasattr(value, "variables")]
        variables = [variable for one in objects for variable in one.variables]
        floats = [tf.cast(one, tf.float32) for one in variables if "float" in str(one.dtype)]
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(one)) for one in floats])

    def gradients(self, low_res, high_res):
        """(scalars, the generator's gradients, the discriminator's), of one forward pass.

        Of several replicas the gradients are this one's part of the sum over all. In float16 they
        are those of the scaled losses, as the optimizers expect them.
        """
        config = self.config
        with tf.GradientTape(persistent=True) as tape:
            generated = self.generator(low_res + self._noise(low_res), training=True)
            fake_logits = self.discriminator(generated, training=True)
            real_logits = self.discriminator(high_res, training=True)
            gene_loss = srez_model.generator_loss(
                fake_logits, generated, low_res, config.gene_l1_factor
            )
            real_loss, fake_loss = srez_model.discriminator_losses(real_logits, fake_logits)
            scaled_gene_loss = self.generator_optimizer.scale_loss(gene_loss / self.replicas)
            disc_loss = (real_loss + fake_loss) / self.replicas
            scaled_disc_loss = self.discriminator_optimizer.scale_loss(disc_loss)
        scalars = {
            "loss/gene_loss": gene_loss,
            "loss/gene_l1_loss": srez_model.l1_loss(generated, low_res),
            "loss/gene_ce_loss": srez_model.adversarial_loss(fake_logits),
            "loss/disc_real_loss": real_loss,
            "loss/disc_fake_loss": fake_loss,
            "logits/real": tf.reduce_mean(real_logits),
            "logits/fake": tf.reduce_mean(fake_logits),
            "learning_rate": self.generator_optimizer.learning_rate,
        }
        return (
            scalars,
            tape.gradient(scaled_gene_loss, self.generator.trainable_variables),
            tape.gradient(scaled_disc_loss, self.discriminator.trainable_variables),
        )

    def _noise(self, low_res):
        """The noise on this replica's share of the batch: that of the whole batch, cut."""
        config = self.config
        count, *shape = tf.unstack(tf.shape(low_res))
        seed = srez_input.batch_seed(config.random_seed, NOISE_STREAM, self.batch)
        noise = tf.random.stateless_normal(
            [count * self.replicas, *shape], seed, stddev=config.noise_level, dtype=low_res.dtype
        )
        if self.replicas == 1:
            return noise
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * count
        return noise[first : first + count]

    def refresh_average(self, low_res_batches):
        """Re-estimates the average's batch statistics: their mean over the batches [B, H, W, 3].

        Its weights never were in one network with the moving statistics of training, so it needs
        its own: https://arxiv.org/abs/1803.05407.
        """
        statistics = [self._batch_statistics(low_res) for low_res in low_res_batches]
        for variable, *values in zip(
            self.average.non_trainable_variables, *statistics, strict=True
        ):
            variable.assign(tf.add_n(values) / len(values))

    @tf.function(reduce_retracing=True)
    def _batch_statistics(self, low_res):
        self.average(low_res, training=True)
        return [tf.identity(variable) for variable in self.average.non_trainable_variables]

    def _update_average(self):
        batch = tf.cast(self.batch, tf.float32)
        decay = tf.minimum(self.config.ema, (1.0 + batch) / (10.0 + batch))

        def update(average, weight):
            average.assign(weight + tf.cast(decay, weight.dtype) * (average - weight))

        for average, weight in zip(
            self.average.trainable_variables, self.generator.trainable_variables, strict=True
        ):
            self.strategy.extended.update(average.value, update, args=(weight.value,))

    def _optimizer(self, network):
        config = self.config
        learning_rate = keras.optimizers.schedules.ExponentialDecay(
            config.learning_rate_start, config.learning_rate_half_life, 0.5, staircase=True
        )
        optimizer = keras.optimizers.Adam(
            learning_rate, beta_1=config.learning_beta1, epsilon=config.epsilon
        )
        if config.precision == "float16":  # its small gradients would vanish unscaled
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(network.trainable_variables)
        return optimizer
