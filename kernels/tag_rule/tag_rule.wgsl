// TagOOD's last step: what the nearest centre says of an image, unless it has no tag.
//
//   closeness = value[n]                     MEASURE 0, a cosine
//             = 1 / (1 + sqrt(value[n]))     MEASURE 1, a squared distance
//             = 1 / (1 + value[n])           MEASURE 2, a relative entropy
//   y[n] = floor where counts[n] = 0, else closeness (times probability[n] where TIMES is 1)
//
// Shapes: value, probability, y: f32[end or more]; counts: i32[end or more]. Images begin to end are
// read and written; probability is not read where TIMES is 0.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y. One image per invocation.

override MEASURE: u32 = 0u;
override TIMES: u32 = 0u;

struct Params {
  begin: u32,
  end: u32,
  floor: f32,
}

@group(0) @binding(0) var<storage, read> value: array<f32>;
@group(0) @binding(1) var<storage, read> counts: array<i32>;
@group(0) @binding(2) var<storage, read> probability: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let n = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (n >= params.end) {
    return;
  }
  var closeness = value[n];
  if (MEASURE == 1u) {
    closeness = 1.0 / (1.0 + sqrt(max(closeness, 0.0)));
  }
  if (MEASURE == 2u) {
    closeness = 1.0 / (1.0 + max(closeness, 0.0));
  }
  if (TIMES == 1u) {
    closeness *= probability[n];
  }
  y[n] = select(closeness, params.floor, counts[n] == 0);
}
