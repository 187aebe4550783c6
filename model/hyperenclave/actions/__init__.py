"""The actions, one file each; importing this package declares them all."""

from model.hyperenclave.actions import (
    add_page,
    asynchronous_exit,
    create,
    device,
    enclave_step,
    enter,
    finish_destroy,
    initialize,
    normal_vm,
    prepare_destroy,
    remove_page_at_destroy,
    shared_fill,
    shared_memory_add,
    shared_memory_remove,
    translation,
)

__all__ = [
    "add_page",
    "asynchronous_exit",
    "create",
    "device",
    "enclave_step",
    "enter",
    "finish_destroy",
    "initialize",
    "normal_vm",
    "prepare_destroy",
    "remove_page_at_destroy",
    "shared_fill",
    "shared_memory_add",
    "shared_memory_remove",
    "translation",
]
