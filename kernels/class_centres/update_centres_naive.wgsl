// Moves the centre of each class towards its samples: the baseline. One element of one centre per
// invocation, which looks at every label.
//
//   centres[c] = (1 - rate) centres[c] + rate features[i] for i = begin, begin + 1, …, c = labels[i]
//
// Shapes: features: f32[samples, columns], row-major; labels: i32[samples];
// centres: f32[classes, columns], in place.
// Dispatch: gridFor(classes columns, 64); the grid folds x into y. Numerics: f32.

struct Params {
  begin: u32,
  end: u32,
  columns: u32,
  classes: u32,
  rate: f32,
}

@group(0) @binding(0) var<storage, read> features: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> centres: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + local;
  if (item >= params.classes * params.columns) {
    return;
  }
  let label = item / params.columns;
  let column = item - label * params.columns;
  var centre = centres[item];
  for (var i = params.begin; i < params.end; i++) {
    if (labels[i] == i32(label)) {
      centre = (1.0 - params.rate) * centre + params.rate * features[i * params.columns + column];
    }
  }
  centres[item] = centre;
}
