// Shifts, flips and normalises a batch of RGB images, channels last: the baseline. One pixel per
// invocation.
//
//   output[n, i, j, c] = byte(n, i + dy, j' + dx, c) * factor[c] + summand[c]
//
// with j' = columns - 1 - j where image n is flipped, else j; bytes outside the image are 0.
//
// Shapes: pixels: bytes of RGB pixels [images, rows, columns, 3], tightly packed, four to a word;
// draws: i32[images, 3], dy, dx and whether to flip; output: f32[images, rows, columns, 3].
// Dispatch: gridFor(images * rows * columns, 64); the grid folds x into y.

override BGR: bool = false;

struct Params {
  count: u32, // pixels
  rows: u32,
  columns: u32,
  factor0: f32,
  factor1: f32,
  factor2: f32,
  summand0: f32,
  summand1: f32,
  summand2: f32,
}

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> draws: array<i32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

fn byte_at(byte: u32) -> f32 {
  return f32((pixels[byte >> 2u] >> ((byte & 3u) * 8u)) & 255u);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * 64u + local;
  if (at >= params.count) {
    return;
  }
  let image = at / (params.rows * params.columns);
  let rows = i32(params.rows);
  let columns = i32(params.columns);
  var x = i32(at % params.columns);
  if (draws[3u * image + 2u] != 0) {
    x = columns - 1 - x;
  }
  x += draws[3u * image + 1u];
  let y = i32(at / params.columns % params.rows) + draws[3u * image];
  var rgb = vec3<f32>(0.0);
  if (x >= 0 && x < columns && y >= 0 && y < rows) {
    let byte = ((image * params.rows + u32(y)) * params.columns + u32(x)) * 3u;
    rgb = vec3<f32>(byte_at(byte), byte_at(byte + 1u), byte_at(byte + 2u));
  }
  output[3u * at] = fma(select(rgb.x, rgb.z, BGR), params.factor0, params.summand0);
  output[3u * at + 1u] = fma(rgb.y, params.factor1, params.summand1);
  output[3u * at + 2u] = fma(select(rgb.z, rgb.x, BGR), params.factor2, params.summand2);
}
