"""A config whose stages run in seconds, and a space in which half of the combinations are invalid."""

TINY = """\
schema:
  dense: [price, age_norm]
  sparse: [user_id, item_id, brand, geo]
two_tower:
  user_tower: { default_dim: 4, mlp: [8, 4] }
  item_tower: { default_dim: 4, mlp: [8, 4] }
  training: { epochs: 2, batch_size: 1024 }
data: { source: synthetic, synthetic: { interactions: 10000 } }
"""
SPACE = """\
two_tower.training.learning_rate: [1e-3, 1e-2]
two_tower.user_tower.mlp: [[8, 4], [8, 8]]
two_tower.item_tower.mlp: [[8, 4], [8, 8]]
"""
