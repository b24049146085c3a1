//! Every model, in many orders of the steps of its tasks.

use schedules::models::{feed, hand_over, leases, queues};

#[test]
fn a_reader_alone_gets_everything() {
    feed::a_reader_alone_gets_everything();
}

#[test]
fn several_readers_get_everything_in_order() {
    feed::several_readers_get_everything_in_order();
}

#[test]
fn a_writer_continues_when_its_reader_leaves() {
    feed::a_writer_continues_when_its_reader_leaves();
}

#[test]
fn who_comes_while_the_last_reader_leaves_hears_the_end() {
    feed::who_comes_while_the_last_reader_leaves_hears_the_end();
}

#[test]
fn turns_come_one_at_a_time_in_the_order_of_arrival() {
    queues::turns_come_one_at_a_time_in_the_order_of_arrival();
}

#[test]
fn a_queue_that_is_removed_is_joined_by_nobody() {
    queues::a_queue_that_is_removed_is_joined_by_nobody();
}

#[test]
fn who_looks_on_hears_that_the_queue_moves() {
    queues::who_looks_on_hears_that_the_queue_moves();
}

#[test]
fn every_lease_is_given_back_once() {
    leases::every_lease_is_given_back_once();
}

#[test]
fn a_name_that_is_taken_again_while_its_daemon_ends_is_given_back() {
    leases::a_name_that_is_taken_again_while_its_daemon_ends_is_given_back();
}

#[test]
fn a_daemon_leaves_when_all_work_has_ended() {
    hand_over::a_daemon_leaves_when_all_work_has_ended();
}

#[test]
fn a_run_that_survives_ends_when_another_daemon_takes_over() {
    hand_over::a_run_that_survives_ends_when_another_daemon_takes_over();
}
