"""The recipe of 2016: noise, gradients, optimizers and average, on the networks of srez_model."""

import keras
import tensorflow as tf

import srez_model

AUGMENTATION, NOISE, DEGRADATION = 1, 2, 3  # streams of random numbers, of either recipe


class Original:
    """The recipe of 2016: the networks and losses of srez_model, and Adam with a falling rate.

    `replicas` are the parallel.replicas.Replicas that take each step together.
    """

    networks = ("generator", "discriminator", "average")
    remedy = "a higher --gene_l1_factor or --noise_level"  # if it goes wrong: to start anew with
    when_diverged = "lower --learning_rate_start or use --precision=float32"
    losses = {  # on the console, by their titles
        "G_Loss": "loss/gene_loss",
        "D_Real_Loss": "loss/disc_real_loss",
        "D_Fake_Loss": "loss/disc_fake_loss",
    }

    def __init__(self, options, replicas):
        self.options = options
        self.replicas = replicas
        precision, sync = options.precision, replicas.sync
        self.generator = srez_model.build_generator(precision=precision, sync=sync)
        self.discriminator = srez_model.build_discriminator(precision=precision, sync=sync)
        # Its batch statistics are those of the last batch seen: see `refresh_average`.
        self.average = srez_model.build_generator(momentum=0.0, precision=precision)
        self.first_learning_rate = options.learning_rate_start
        self.generator_optimizer = self._optimizer(self.generator)
        self.discriminator_optimizer = self._optimizer(self.discriminator)

    def _optimizer(self, network):
        options = self.options
        learning_rate = keras.optimizers.schedules.ExponentialDecay(
            options.learning_rate_start, options.learning_rate_half_life, 0.5, staircase=True
        )
        optimizer = keras.optimizers.Adam(
            learning_rate, beta_1=options.learning_beta1, epsilon=options.epsilon
        )
        if options.precision == "float16":  # its small gradients would vanish unscaled
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(network.trainable_variables)
        return optimizer

    def stage(self, batch):
        """The stage of the training at a batch: there is only one."""
        return 1

    def averages(self, batch, stage):
        """[(average, network, decay)]: which weights move towards which; `batch` is float32."""
        decay = tf.minimum(self.options.ema, (1.0 + batch) / (10.0 + batch))
        return [(self.average, self.generator, decay)]

    def gradients(self, low_res, high_res, batch, stage):
        """(scalars, the generator's gradients, the discriminator's), of one forward pass.

        In float16 the gradients are those of the scaled losses, as the optimizers expect them.
        """
        with tf.GradientTape(persistent=True) as tape:
            generated = self.generator(low_res + self._noise(low_res, batch), training=True)
            fake_logits = self.discriminator(generated, training=True)
            real_logits = self.discriminator(high_res, training=True)
            gene_loss = srez_model.generator_loss(
                fake_logits, generated, low_res, self.options.gene_l1_factor
            )
            real_loss, fake_loss = srez_model.discriminator_losses(real_logits, fake_logits)
            scaled_gene_loss = self.generator_optimizer.scale_loss(gene_loss)
            scaled_disc_loss = self.discriminator_optimizer.scale_loss(real_loss + fake_loss)
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
        if self.options.precision == "float16":
            scalars["loss_scale"] = self.generator_optimizer.dynamic_scale
        return (
            scalars,
            tape.gradient(scaled_gene_loss, self.generator.trainable_variables),
            tape.gradient(scaled_disc_loss, self.discriminator.trainable_variables),
        )

    def refresh_average(self, low_res_batches):
        """Re-estimates the average's batch statistics: their mean over the batches [B, H, W, 3].

        Its weights never were in one network with the moving statistics of training, so it needs
        its own: https://arxiv.org/abs/1803.05407.
        """
        found = [self._batch_statistics(low_res) for low_res in low_res_batches]
        for variable, *values in zip(self.average.non_trainable_variables, *found, strict=True):
            variable.assign(tf.add_n(values) / len(values))

    @tf.function(reduce_retracing=True)
    def _batch_statistics(self, low_res):
        self.average(low_res, training=True)
        return [tf.identity(variable) for variable in self.average.non_trainable_variables]

    def _noise(self, low_res, batch):
        """The noise on a share of the batch: that of the whole batch, cut."""
        shape = self.replicas.whole(tf.shape(low_res))
        seed = batch_seed(self.options.random_seed, NOISE, batch)
        noise = tf.random.stateless_normal(
            shape, seed, stddev=self.options.noise_level, dtype=low_res.dtype
        )
        return self.replicas.mine(noise)


def batch_seed(random_seed, stream, batch):
    """The seed [2] of one stream of random numbers for the stateless ops of one batch."""
    seed = tf.constant([random_seed, stream], tf.int64)
    return tf.random.experimental.stateless_fold_in(seed, batch)
