"""Spark's pandas UDFs: functions of columns, which come as pandas' Series, a batch at a time.

An activation keeps the Series; a loss takes a column of arrays, stacked to logits. Spark tells each worker how many threads
it may use: nonlin reads that.
"""

import os
import sys
from typing import Any

import numpy as np
import pandas as pd

import nonlin as nl


def probability(score: pd.Series) -> pd.Series:
    return nl.sigmoid(score)


def loss(logits: pd.Series, label: pd.Series) -> pd.Series:
    return pd.Series(nl.cross_entropy(np.stack(logits.to_list()), label.to_numpy(), reduction="none"))


def score(table: pd.DataFrame) -> Any:
    """The table, with columns score, logits and label, and both functions' results beside them."""
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
    frame = spark.createDataFrame(table)
    of_score, of_logits = pandas_udf(probability, "double"), pandas_udf(loss, "double")
    return frame.select("*", of_score("score").alias("p"), of_logits("logits", "label").alias("loss")).toPandas()


def main() -> None:
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((1000, 10))
    table = pd.DataFrame({"score": logits[:, 0], "logits": list(logits), "label": rng.integers(0, 10, 1000)})
    result = score(table)
    same = np.array_equal(result["p"], nl.sigmoid(logits[:, 0]))
    same &= np.array_equal(result["loss"], nl.cross_entropy(logits, table["label"].to_numpy(), reduction="none"))
    print(f"{len(result)} rows by Spark: the bits of one call: {same}")


if __name__ == "__main__":
    main()
