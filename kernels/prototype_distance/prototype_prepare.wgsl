// Brings centres into the form that the row product reads: padded to whole vec4 and, by KIND,
//
//   0: y_j / |y_j|    1: y_j    2: log max(y_j, epsilon)
//
// Shapes: y: f32[columns, k]; prepared: vec4<f32>[columns, quads], zeros beyond k.
// Bindings: y, prepared. Dispatch: gridFor(columns, 8), folded from x into y: one centre per
// invocation. Norms below 1e-12 count as 1e-12.

override KIND: u32 = 0u;

struct Params {
  columns: u32,
  k: u32,
  quads: u32,
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> y: array<f32>;
@group(0) @binding(1) var<storage, read_write> prepared: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let column = (wid.y * grid.x + wid.x) * 8u + lane;
  if (column >= params.columns) {
    return;
  }
  let start = column * params.k;
  var factor = 1.0;
  if (KIND == 0u) {
    var squares = 0.0;
    for (var l = 0u; l < params.k; l++) {
      squares = fma(y[start + l], y[start + l], squares);
    }
    factor = 1.0 / max(sqrt(squares), 1e-12);
  }
  for (var q = 0u; q < params.quads; q++) {
    var four = vec4<f32>(0.0);
    for (var e = 0u; e < 4u; e++) { // @unroll
      let l = q * 4u + e;
      if (l < params.k) {
        if (KIND == 2u) {
          four[e] = log(max(y[start + l], params.epsilon));
        } else {
          four[e] = y[start + l] * factor;
        }
      }
    }
    prepared[column * params.quads + q] = four;
  }
}
