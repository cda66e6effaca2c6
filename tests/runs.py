"""Runs of training that take seconds, and what they leave."""

import torch

from dealias.cli import main

CONFIG = """
model:
  network:
    name: upernet
    backbone: test_resnet
    channels: 8
    aux_channels: 8
    dealias: {place: before, mixing: true, filter_options: {border: wrap}}
  optimization: {lr: 0.01, lr_floor: 0.0, warmup_steps: 2}
data:
  name: scenes
  scenes: {train: 6, val: 3, size: [64, 96]}
  augmentation: {crop_size: [64, 64]}
  batch_size: 2
  workers: 0
trainer:
  accelerator: cpu
  deterministic: true
  enable_progress_bar: false
  enable_model_summary: false
  log_every_n_steps: 1
  max_steps: 6
  val_check_interval: 3
checkpoint_every: 2
samples: 1
"""


def command(name, config, output, *options):
    return main([name, "--config", str(config), "--output", str(output), *options])


def failure(capsys, name, config, output, *options):
    assert command(name, config, output, *options) == 2
    return capsys.readouterr().err


def state_of(path):
    return torch.load(path, weights_only=True)


def assert_same_state(first, second):
    first, second = state_of(first), state_of(second)
    assert first["global_step"] == second["global_step"]
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name
