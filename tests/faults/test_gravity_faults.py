"""The faults of the networks of gravity theories that this takes over, each with a test that would fail with it."""

import pytest

from tests.map2map.test_fault_list import defines

# fault -> test, as module::name without `test_`
FAULTS = {
    # data
    "one axis is sliced twice, and another never": "slices::every_slice_of_every_axis_is_one_example",
    "a second epoch crashes, memory grows": "slices::a_cube_is_read_once_while_there_is_room_and_memory_is_bounded",
    "cubes are standardised again each time": "slices::cubes_are_not_changed_from_one_epoch_to_the_next",
    "all slices are kept in memory": "slices::memory_is_a_matter_of_the_neighbourhood",
    "a file is opened for every item": "slices::a_cube_is_read_once_while_there_is_room_and_memory_is_bounded",
    "cubes are standardised with the statistics of all seeds": "labels::standardisation_knows_the_training_folds_alone",
    "members of a seed may fall apart": "labels::members_of_a_seed_share_a_fold",
    # labels
    "smoothed labels are compared in another precision": "labelled::labels_in_another_precision_mean_the_same",
    "smoothing mislabels": "labelled::smoothing_is_the_same_for_both_answers",
    "0.1 is a true label": "judging::labels_that_are_no_classes_are_refused_and_never_rounded",
    "what is smoothed is judged": "field_to_label::labels_are_what_was_written_whatever_the_smoothing",
    # training
    "the test set chooses the model": "field_to_label::held_out_samples_change_neither_model_nor_baseline",
    "a misspelt architecture is RACOON": "encoders::a_misspelt_architecture_is_no_racoon",
    "another size of fields fails inside of the network": "encoders::other_edges_are_refused_with_the_nearest",
    "without a GPU nothing is trained, and all is well": "tasks::several_processes_train_the_model_of_one",
    "a checkpoint is continued though the labels are others": "field_to_label::a_changed_label_is_another_training",
    "saving fails, or is the wrong way round": "tasks::how_it_runs_does_not_change_a_bit",
    "checkpoints are torn": "tasks::a_torn_checkpoint_is_named",
    "no random state is kept": "tasks::a_stopped_run_ends_where_an_uninterrupted_one_does",
    "`epochs` are further epochs": "tasks::more_epochs_continue",
    # judging
    "nothing is turned or moved": "field_to_label::augmentation_moves_and_turns_and_changes_no_value",
    "there is no vote of a cube": "judging::a_sample_is_judged_by_the_mean_logit_of_its_slices",
    "a score is one number without an error": "chance::the_error_is_that_of_the_mean_over_the_folds",
    "there is no calibration": "judging::what_is_calibrated_has_no_calibration_error",
    "there is no ROC without scripts": "label_report::figures_draw_and_repeat",
    "what the power spectrum tells is another project": "label_report::the_page_says_what_the_network_adds",
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_fault_of_the_gravity_networks_has_its_test(fault):
    assert defines(FAULTS[fault])
