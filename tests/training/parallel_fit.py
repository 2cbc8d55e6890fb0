"""Run by test_data_parallel.py under torch's launcher: the same fits over the processes of one Fabric."""

import sys

import torch
from lightning_fabric import Fabric

from mmkd_lab.models import NetSpec
from mmkd_lab.models.removal import Zeros
from mmkd_lab.training import Recipe, Replicas, fit, save
from tests.training.toy import plain, toy

#: name -> (mode, batch size, modality dropout). 45 rows in batches of 16 leave a last batch of 13, in shares
#: of 7 and 6; in batches of 44 they leave a single row, and one process without any.
CASES = {
    "stacked": ("stacked", 16, 0.0),
    "looped": ("looped", 16, 0.0),
    "one row left": ("stacked", 44, 0.0),
    "full batch": ("stacked", None, 0.0),
    "modality dropout": ("stacked", 16, 0.4),
    "full batch with dropout": ("looped", None, 0.4),
}


def main(folder: str, processes: int) -> None:
    """Fit every case, and let the first process save what came out."""
    torch.set_num_threads(1)
    fabric = Fabric(
        accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto", precision="64-true"
    )
    fabric.launch()
    data = toy(train=45)
    for name, (mode, batch, dropout) in CASES.items():
        recipe = Recipe(
            epochs=4,
            precision="auto",
            batch_size=batch,
            optimiser="sgd",
            lr=0.05,
            clip=1.0,
            modality_dropout=dropout,
        )
        replicas = Replicas.build(NetSpec(width=4, features=8), data, seeds=[0, 1], device="cpu")
        removal = Zeros() if dropout else None
        found = fit(
            replicas, data, plain, recipe, mode=mode, dropout_removal=removal, fabric=fabric, progress=False
        )
        if fabric.is_global_zero:
            save(found.replicas, f"{folder}/{name}.safetensors")
            found.history.to_csv(f"{folder}/{name}.csv", index=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
