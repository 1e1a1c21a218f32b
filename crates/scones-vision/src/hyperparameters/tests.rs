use super::*;

/// `name=value` words beside the two required ones, which a word can replace or, with `-`, drop.
fn parse(words: &str) -> Result<Hyperparameters, Error> {
    let mut given = BTreeMap::from([("num_classes", "2"), ("num_training_samples", "800")]);
    for word in words.split_whitespace() {
        match word.split_once('=') {
            Some((name, value)) => given.insert(name, value),
            None => given.remove(word.trim_start_matches('-')),
        };
    }
    Hyperparameters::parse(
        &given
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    )
}

fn refused(words: &str, expect: &str) {
    assert_eq!(parse(words).unwrap_err().to_string(), expect, "{words}");
}

#[test]
fn refusals_name_the_hyperparameter_and_what_is_valid() {
    refused("-num_classes", "'num_classes' is a required hyperparameter");
    refused(
        "-num_training_samples",
        "'num_training_samples' is a required hyperparameter",
    );
    refused(
        "epoch=3",
        "Additional hyperparameters are not allowed: 'epoch' was unexpected; did you mean 'epochs'?",
    );
    refused(
        "colour=3",
        "Additional hyperparameters are not allowed: 'colour' was unexpected",
    );
    refused(
        "num_samples=3",
        "Additional hyperparameters are not allowed: 'num_samples' was unexpected; did you mean 'num_training_samples'?",
    );
    refused(
        "num_classes=4000000000",
        "hyperparameter 'num_classes' has the value '4000000000', which is not supported here: a classifier has at most \
         65536 classes",
    );
    refused(
        "num_classes=0",
        "hyperparameter 'num_classes' has the value '0': expected a whole number of at least 1",
    );
    refused(
        "num_classes=1",
        "hyperparameter 'num_classes' has the value '1': a classifier needs at least 2 classes",
    );
    refused(
        "epochs=ten",
        "hyperparameter 'epochs' has the value 'ten': expected a whole number of at least 1",
    );
    refused(
        "learning_rate=1.5",
        "hyperparameter 'learning_rate' has the value '1.5': expected a number from 0 to 1",
    );
    refused(
        "learning_rate=NaN",
        "hyperparameter 'learning_rate' has the value 'NaN': expected a number from 0 to 1",
    );
    refused(
        "optimizer=lion",
        "hyperparameter 'optimizer' has the value 'lion': expected one of sgd, adam, rmsprop, nag",
    );
    refused(
        "top_k=1",
        "hyperparameter 'top_k' has the value '1': expected a whole number of at least 2",
    );
    refused(
        "top_k=3",
        "hyperparameter 'top_k' has the value '3': it must not be larger than num_classes",
    );
    refused(
        "num_classes=5 multi_label=1 top_k=3",
        "hyperparameter 'top_k' has the value '3': it is for images of one class; leave it out with multi_label=1",
    );
    refused(
        "multi_label=2",
        "hyperparameter 'multi_label' has the value '2': expected one of 0, 1",
    );
    refused(
        "image_shape=3,32",
        "hyperparameter 'image_shape' has the value '3,32': expected channels,height,width such as 3,32,32",
    );
    refused(
        "resize=20",
        "hyperparameter 'resize' has the value '20': it must not be smaller than the sides in image_shape",
    );
    refused(
        "epochs=5 checkpoint_frequency=6",
        "hyperparameter 'checkpoint_frequency' has the value '6': it must not be larger than epochs",
    );
    refused(
        "lr_scheduler_step=20,10",
        "hyperparameter 'lr_scheduler_step' has the value '20,10': expected ascending epochs from 1, such as 10,20",
    );
    refused(
        "num_layers=19",
        "hyperparameter 'num_layers' has the value '19': expected one of 18, 34, 50, 101, 152, 200, 20, 32, 44, 56, 110",
    );
}

#[test]
fn what_is_not_built_is_never_ignored() {
    for words in [
        "momentum=1",
        "beta_2=1.0",
        "eps=0",
        "image_shape=1,32,32",
        "image_shape=3,4096,4096",
    ] {
        let error = parse(words).unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { .. }) && words.starts_with(error.name()),
            "{words}: {error}"
        );
    }
}

#[test]
fn values_arrive() {
    let given = parse("image_shape=3,48,64 resize=70 num_layers=20 mini_batch_size=64 epochs=7 learning_rate=1e-2 optimizer=nag weight_decay=0.001 augmentation_type=crop_color early_stopping=True early_stopping_patience=3 lr_scheduler_step=3,5 lr_scheduler_factor=0.5 top_k=2").unwrap();
    assert_eq!(
        (given.image_shape, given.resize, given.num_layers),
        ([3, 48, 64], Some(70), Some(20))
    );
    assert_eq!(
        (given.mini_batch_size, given.epochs, given.learning_rate),
        (Some(64), Some(7), Some(0.01))
    );
    assert_eq!(
        given.optimizer,
        Some(Optimizer::Sgd {
            momentum: 0.9,
            nesterov: true
        })
    );
    assert_eq!(
        (given.weight_decay, given.augmentation),
        (Some(0.001), Some(Augmentation::CropColor))
    );
    assert_eq!(
        given.early_stopping,
        Some(EarlyStopping {
            epochs_min: 10,
            patience: 3,
            tolerance: 0.0
        })
    );
    assert_eq!(
        given.schedule,
        Schedule::Steps {
            epochs: vec![3, 5],
            factor: 0.5
        }
    );
    assert_eq!((given.top_k, given.notes), (Some(2), vec![]));
}

#[test]
fn labels_are_of_one_kind() {
    let check = |words: &str, expect: (LabelKind, bool), notes: &[&str]| {
        let given = parse(words).unwrap();
        assert_eq!((given.labels, given.use_weighted_loss), expect, "{words}");
        assert_eq!(given.notes, notes, "{words}");
    };
    check("", (LabelKind::Single, false), &[]);
    check("multi_label=0 use_weighted_loss=0", (LabelKind::Single, false), &[]);
    check("multi_label=1", (LabelKind::Multi, false), &[]);
    check("multi_label=1 use_weighted_loss=1", (LabelKind::Multi, true), &[]);
    let note = "use_weighted_loss=1: only multi_label=1 uses it";
    check("use_weighted_loss=1", (LabelKind::Single, false), &[note]);
}

#[test]
fn harmless_values_are_noted() {
    let notes = parse(
        "learning_rate=0 kv_store=dist_sync precision_dtype=float16 gamma=0.5 beta_1=0.8 early_stopping_patience=2",
    )
    .unwrap()
    .notes;
    assert_eq!(
        notes,
        [
            "beta_1=0.8: only adam uses it",
            "early_stopping_patience=2: it needs early_stopping=True",
            "gamma=0.5: only rmsprop uses it",
            "kv_store=dist_sync: one machine trains, so nothing is synchronised",
            "learning_rate=0: nothing is learnt, the weights stay as they begin",
            "precision_dtype=float16: computed in float32",
        ]
    );
}

#[test]
fn the_promised_number_of_images_is_compared() {
    let given = parse("num_training_samples=3").unwrap();
    let warned = |count| given.check_count(count).map(|finding| finding.message);
    assert_eq!(warned(3), None);
    let message = "num_training_samples is 3, but there are 4 training images: set it to 4";
    assert_eq!(warned(4).as_deref(), Some(message));
}

#[test]
fn defaults_of_the_table_are_valid_and_unset_means_our_choice() {
    for parameter in TABLE {
        if let Some(default) = parameter.aws_default {
            parameter.check(default).unwrap();
        }
    }
    let given = parse("").unwrap();
    assert_eq!(
        (given.image_shape, given.epochs, given.optimizer),
        ([3, 32, 32], None, None)
    );
    assert_eq!(given.schedule, Schedule::WarmUpCosine);
}
