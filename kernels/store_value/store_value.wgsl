// One number into one row of a table.
//
//   table[index] = value[0] * factor
//
// Shapes: value: f32[1]; table: f32[length].
// Bindings: value, table.
// Dispatch: one workgroup of one invocation. An index beyond the table writes nothing.

struct Params {
  length: u32,
  index: u32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read_write> table: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(1)
fn main() {
  if (params.index < params.length) {
    table[params.index] = value[0] * params.factor;
  }
}
