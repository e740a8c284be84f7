"""The faults of map2map 4ebc835 and its forks, each with the tests that would fail if they were ours, kept true."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

# fault of map2map -> test, as module::name without `test_`
FAULTS = {
    # 1. command line and modes
    "starts with variables of Slurm and with a GPU alone": "faults_of_data::it_trains_without_slurm_and_without_a_gpu",
    "a test run judges nothing": "stage::the_truth_is_perfect_and_baselines_are_not",
    "a misspelt option is swallowed": "config_faults::c1_a_misspelt_key",
    "options of different parts share one name": "config_faults::c13_options_of_a_model",
    "'False' is true": "config_faults::c2_another_type_names_key_value_and_type",
    "a run leaves no record of its settings and seed": "train::model_history_and_record",
    "the order of samples is the same for every seed": "order::the_order_is_a_function_of_seed_and_epoch",
    "random numbers of numpy and python are not seeded": "loop::the_global_generators_have_no_say",
    "the length of the box is in the code": "sources::samples_of_npy_files",
    "every process reads every crop": "distributed::every_example_is_read_by_one_process_and_the_same_in_any_number",
    # 2. data patterns and files
    "files are paired by sort order": "data_files::d20_pairs_are_made_by_id",
    "unequal numbers of files are cut to the least": "data_files::d20_unpaired",
    "a comma in a path divides it": "faults_of_data::a_comma_is_part_of_a_path",
    "brackets in a path break it": "sources::an_escaped_path_is_no_wildcard",
    "files are npy alone, without box, redshift and units": "sources::samples_of_hdf5_files_describe_themselves",
    "larger files are read in part": "data_files::d19_shapes_disagree",
    "input and target of different grids are accepted": "super_resolution::models_that_make_another_grid_are_refused",
    "values beyond float32 become infinite": "data_files::d13_overflow",
    "float64 and large integers are rounded without a word": "statistics::what_float32_does_not_hold_is_said_once",
    "NaN and infinity pass": "data_files::d10_not_finite",
    "a file is read once by every worker in every epoch": "order::eight_workers_read_every_file_once_an_epoch",
    "files are opened again for every sample": "fields::each_file_is_opened_once_and_few_are_kept",
    "a style is the first column, with shift and spread in the code":
        "parameters::styles_are_of_the_training_samples_alone_unless_given",
    "styles are paired by position": "parameters::a_table_gives_every_sample_its_numbers_whatever_the_order",
    "the lengths of lists of styles are not compared": "parameters::a_style_that_no_sample_has",
    # 3. cropping, padding, augmentation
    "crops that do not divide the field wrap around it":
        "crops::a_periodic_lattice_goes_around_and_another_moves_its_last_crop_back",
    "start and stop of crops are not checked": "crops::parts_that_cannot_be",
    "fields without period are wrapped": "crops::the_halo_of_a_field_without_period_may_reach_outside",
    "the halo of a model is worked out by hand":
        "geometry::the_halo_is_the_least_that_every_multiple_of_the_factor_can_take",
    "super-resolved fields cannot be assembled": "super_resolution::tiles_equal_the_whole_whatever_they_are",
    "three scalars are taken for a vector": "augment::three_scalars_in_three_dimensions_keep_their_signs",
    "displacement with velocity is turned as no vector":
        "field_to_field::fields_of_several_parts_turn_as_what_they_are",
    "there are no pseudovectors": "augment::the_curl_turns_as_a_pseudovector",
    "flips shift input against target": "faults_of_data::input_and_target_stay_on_each_other_under_all_augmentation",
    "whole fields of unequal edges are read in part, twice": "augment::every_voxel_of_a_crop_of_any_edges_is_seen_once",
    "axes of unequal cells are exchanged": "augment::every_voxel_of_a_crop_of_any_edges_is_seen_once",
    "shifts add up": "augment::starts_never_drift",
    "shifts leave the part that is learnt from": "field_to_field::what_is_learnt_stays_in_its_part_of_the_box",
    "offsets and factors need fields of equally many channels":
        "augment::input_and_target_change_alike_whatever_else_they_hold",
    # 4. sampler
    "the remainder of an epoch is dropped": "order::every_example_is_in_one_batch_of_an_epoch",
    "the same validation samples are always left out": "loop::the_score_is_the_mean_over_all_examples",
    "a divided dataset makes batches of one file": "order::a_stream_mixes_so_many_samples_and_goes_on",
    "workers touch all files whatever the distance":
        "order::a_dataset_larger_than_the_page_cache_is_read_about_once_an_epoch",
    "an epoch has to be set by hand": "order::the_order_is_a_function_of_seed_and_epoch",
    # 5. normalisation
    "Omega_m is in the code": "normalize::samples_of_any_redshift_and_matter_density_are_scaled_by_their_own",
    "the logarithm does not come back": "normalize::small_numbers_come_back",
    "a value outside of the domain is NaN": "normalize::a_value_outside_of_a_domain_is_named_with_its_sample_and_place",
    "growth is computed for every field of every sample": "normalize::growth_is_computed_once_a_redshift",
    "nothing is fitted to data": "normalize::standardise_gives_zero_mean_and_unit_spread",
    "an unknown normalisation is found at the first sample": "config_faults::c12_an_unknown_name_gets_the_nearest",
    # 6. models
    "networks are 3-D alone": "models::the_output_has_the_size_that_the_geometry_says",
    "hidden channels cannot be chosen": "options::the_channels_inside_a_block_can_be_chosen",
    "the bypass of U-Net is ignored": "options::the_bypass_is_added_when_it_is_asked_for_and_not_otherwise",
    "a wrong crop fails inside of the network":
        "config_faults::c8_crops_that_do_not_fit_tell_both_numbers_and_the_nearest",
    "batch normalisation is of each process": "distributed::batch_normalisation_is_that_of_the_whole_batch",
    "batches of one have no normalisation that fits":
        "options::group_normalisation_trains_with_one_example_as_with_many",
    "PatchGAN42 looks at 22 voxels": "models::a_discriminator_judges_the_patches_that_it_says",
    "noise is of the global generator and never the same again":
        "super_resolution::noise_is_of_the_seed_and_of_the_sample",
    "noise is not the same where tiles overlap": "stylegan2::noise_is_the_same_wherever_it_is_asked_for",
    "channels that a generator cannot take are not refused": "stylegan2::what_grows_from_the_input_has_its_channels",
    "styled networks take batches of one": "styled::each_example_is_convolved_with_its_own_weights_of_unit_norm",
    "a halo costs five times the volume": "crops::whole_boxes_need_no_halo_if_the_network_closes_them",
    "gradients of processes are summed, not averaged": "distributed::parts_of_a_batch_make_the_whole",
    "velocities cannot be read by workers": "tasks::how_it_runs_does_not_change_a_bit",
    "narrowing by nothing leaves nothing": "options::nothing_is_left_out_of_a_field_that_is_narrowed_to_its_own_size",
    "different shapes are cut to what they share": "losses::different_shapes_never_broadcast",
    # 7. losses and physics
    "losses take no options": "pointwise::options_are_checked",
    "losses have no weights": "sums::a_sum_is_weighed_and_tells_its_terms",
    "losses have no mask": "field_to_field::nothing_is_learnt_where_the_target_is_not_finite",
    "densities are 3-D alone": "painting::it_is_the_density_of_the_evaluation",
    "box and mesh of densities are in the code": "loss_of_fields::densities_are_those_of_the_evaluation",
    "particles are lost at the edges":
        "loss_of_fields::no_particle_of_a_crop_is_lost_and_a_common_drift_does_not_matter",
    "mass is lost": "painting::no_mass_is_lost_however_far_it_goes",
    "densities need 35 times the memory": "painting::memory_is_a_small_multiple_of_the_input",
    "densities are painted example by example":
        "painting::examples_do_not_know_each_other_and_the_order_of_sums_does_not_matter",
    "sums on a GPU differ from run to run": "painting::sums_do_not_depend_on_the_order_of_what_is_added",
    "another loss needs another branch": "sums::a_list_is_completed_by_defaults_and_weights",
    "spectra of crops have no window": "loss_of_fields::no_window_would_be_wrong_for_crops",
    "spectra have no units": "spectra::white_noise_level",
    "spectra of boxes of unequal edges are wrong": "spectra::plane_wave",
    "spectra keep the window of the mesh": "spectra::interlacing_removes_the_aliases",
    "there are no cross spectra": "spectra::cross_spectrum_keeps_its_sign",
    "there is no transfer function": "metrics::scaling_is_the_transfer_function",
    # 8. adversarial training
    "the supervised loss is not propagated": "adversarial::both_losses_move_the_generator",
    "there are no weights of losses": "adversarial::both_losses_move_the_generator",
    "instance noise begins again on resume": "adversarial::a_run_that_was_stopped_anywhere_goes_on_to_the_bit",
    "instance noise falls by batch": "adversarial::noise_falls_linearly_from_the_start",
    "the weight of the penalty is in the code": "adversarial::penalties_of_a_linear_discriminator",
    "a gradient penalty needs a branch":
        "adversarial::the_gradient_penalty_is_taken_between_true_and_made_fields",
    "logging before the first step of the generator fails":
        "adversarial::updates_of_the_discriminator_for_each_of_the_generator",
    "spectral norm is not kept": "adversarial::spectral_norm_holds_while_it_trains",
    # 9. optimisation, state, logs
    "there are no groups of parameters": "optimizers::a_group_has_its_own_rate_and_decay_and_the_rest_the_defaults",
    "gradients are not accumulated": "descent::parts_of_an_update_are_those_of_one_large_batch",
    "there is no average of weights": "loop::the_average_is_that_of_a_loop_by_hand",
    "there is no warm-up": "schedules::a_warm_up_comes_before",
    "the plateau is one of the training loss": "faults_of_data::the_plateau_is_one_of_the_validation_score",
    "the scheduler needs an argument that torch dropped":
        "schedules::rates_are_those_of_the_scheduler_of_torch_though_functions_of_the_step",
    "a spread of initial weights ends the run": "descent::initial_weights_of_a_given_spread",
    "a kill loses the epoch": "crash_points::resume_after_sigkill_at_random_times",
    "checkpoints are never removed": "restarts::the_last_checkpoints_are_kept_and_a_finished_training_keeps_one",
    "the best model is not kept": "loop::the_best_weights_are_the_model",
    "all processes draw the same augmentations after a resume":
        "all_at_once::processes_draw_augmentations_of_their_own_also_after_a_resume",
    "a resumed run differs": "tasks::a_stopped_run_ends_where_an_uninterrupted_one_does",
    "a checkpoint may run code": "checkpoint::a_malicious_checkpoint_runs_nothing",
    "weights of somebody may run code": "map2map::a_pickle_that_names_code_is_refused_and_not_executed",
    "algorithms change from run to run": "distributed::twice_the_same_bits",
    "the list of visible GPUs is overwritten": "gpus::what_a_scheduler_gave_is_left_as_it_is",
    "a crash leaves a rendezvous that hangs": "distributed::nothing_outlives_a_killed_first_process",
    "two jobs in one folder clash": "config_faults::c19_two_processes_in_one_folder",
    "curves show no rate, memory, throughput": "tracking::the_promised_tags",
    "curves show no hyper-parameters": "tracking::hyper_parameters_are_told",
    "curves are of the last batch of one process":
        "all_at_once::two_processes_stopped_and_gone_on_train_the_model_of_one",
    "pictures are of crops": "faults_of_data::pictures_are_of_whole_samples",
    "a picture of zeros or NaN ends the run": "tracking::no_picture_stops_a_training",
    "numbers are float32 alone": "loop::half_precision_is_used_and_repeats",
    "networks are not compiled": "preparation::a_compiled_network_trains_as_it_would_otherwise",
    "a loss that is not a number goes on": "failures::a_loss_that_is_not_finite",
    "code of one's own is shadowed by other modules": "config_faults::s8_a_plugin_shadows_nothing",
    "code of one's own is not recorded": "sums::a_training_depends_on_the_code_of_every_term_and_on_the_weights",
    # 10. assembly
    "a whole field and all its patches are in memory": "predict::memory_grows_with_the_block_and_not_with_the_sample",
    "what no patch covers is zero": "tiles::stitched_crops_are_the_whole_and_every_voxel_is_put_once",
    "an unfinished file looks finished": "predict::a_file_that_is_not_complete",
    "names lead out of the folder": "data_files::ids_are_safe_names",
    "what fails overwrites what was there": "predict::what_fails_leaves_the_earlier_file",
    "prediction needs target files": "new_samples::a_dataset_without_targets_has_no_folds",
    "fields are written beside the data, and `../` out of the folder":
        "new_samples::a_sample_id_never_leads_out_of_the_folder",
    "overlapping patches are not blended": "blending::one_tile_passes_into_the_next_along_a_line",
    "a hole in the patches is not found": "blending::a_hole_and_a_voxel_twice_are_refused",
    # 11. what its README promises
    "a node reads all data": "order::each_process_reads_its_part_of_the_samples",
    "convolutions cannot be periodic": "networks::a_periodic_box_alone_and_with_its_halo_give_the_same",
    "anything else means a fork": "plugins::code_of_every_kind_from_a_file_of_ones_own",
    "validation decides nothing": "loop::training_stops_early",
}  # fmt: skip

# published numbers -> the module that holds them
PARITY = {
    "0.60841": "test_normalize",  # D at redshift 1, Omega_m = 0.31
    "0.52237": "test_normalize",  # f at redshift 0
    '"displacement"] == 6.0': "test_normalize",  # Mpc/h
    "313.42": "test_normalize",  # km/s
    '"UNet": 1_808_003': "test_map2map",
    '"VNet": 1_825_222': "test_map2map",
    '"G": 6_975_826': "test_map2map",
    '"D": 7_405_569': "test_map2map",
    '"StyledVNet": 1_828_178': "test_map2map",
}
MODULES = {path.stem: path for path in sorted(TESTS.rglob("test_*.py"))}


def defines(named: str) -> bool:
    module, name = named.split("::")
    return bool(re.search(rf"^def test_{name}\(", MODULES[f"test_{module}"].read_text(), re.M))


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_each_fault_has_its_test(fault):
    assert defines(FAULTS[fault])


@pytest.mark.parametrize("number", sorted(PARITY))
def test_published_numbers_are_held(number):
    assert number in MODULES[PARITY[number]].read_text()
