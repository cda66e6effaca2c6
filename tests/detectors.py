"""Networks for instances that are small enough to train in a test."""

SMALL = {
    "mask_rcnn": {
        "channels": 16,
        "box_channels": 16,
        "mask_channels": 8,
        "mask_convolutions": 1,
        "anchor_sizes": [8, 16, 32, 64, 128],
        "candidates": 60,
        "proposals": 40,
        "boxes_drawn": 16,
    },
    "mask2former": {
        "feature_size": 32,
        "mask_feature_size": 32,
        "hidden_dim": 32,
        "encoder_feedforward_dim": 32,
        "dim_feedforward": 32,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "num_attention_heads": 2,
        "num_queries": 5,
        "train_num_points": 64,
    },
}
