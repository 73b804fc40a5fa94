// Shifts, flips and normalises a batch of RGB images, channels last, four pixels of a row per
// invocation.
//
//   output[n, i, j, c] = byte(n, i + dy, j' + dx, c) * factor[c] + summand[c]
//
// with j' = columns - 1 - j where image n is flipped, else j; bytes outside the image are 0.
//
// Shapes: pixels: bytes of RGB pixels [images, rows, columns, 3], tightly packed, four to a word;
// draws: i32[images, 3], dy, dx and whether to flip; output: f32[images, rows, columns, 3] as vec4.
// columns is a multiple of four, so that four pixels are three vec4.
// Dispatch: gridFor(images * rows * columns / 4, WORKGROUP); the grid folds x into y.

override WORKGROUP: u32 = 8u;
override BGR: bool = false;

struct Params {
  count: u32, // groups of four pixels
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
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

// A normalised pixel of the row that begins at pixel `row`, black beyond its ends.
fn pixel(row: u32, x: i32, inside: bool) -> vec3<f32> {
  var rgb = 0u;
  if (inside && x >= 0 && x < i32(params.columns)) {
    let byte = (row + u32(x)) * 3u;
    let shift = (byte & 3u) * 8u;
    rgb = pixels[byte >> 2u] >> shift;
    if (shift > 8u) {
      rgb |= pixels[(byte >> 2u) + 1u] << (32u - shift);
    }
  }
  var value = vec3<f32>(f32(rgb & 255u), f32((rgb >> 8u) & 255u), f32((rgb >> 16u) & 255u));
  if (BGR) {
    value = value.zyx;
  }
  return fma(
    value,
    vec3<f32>(params.factor0, params.factor1, params.factor2),
    vec3<f32>(params.summand0, params.summand1, params.summand2),
  );
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.count) {
    return;
  }
  let quads = params.columns >> 2u;
  let image = at / (params.rows * quads);
  let columns = i32(params.columns);
  var x = i32(at % quads * 4u);
  var step = 1;
  if (draws[3u * image + 2u] != 0) {
    x = columns - 1 - x;
    step = -1;
  }
  x += draws[3u * image + 1u];
  let y = i32(at / quads % params.rows) + draws[3u * image];
  let inside = y >= 0 && y < i32(params.rows);
  let row = (image * params.rows + u32(select(0, y, inside))) * params.columns;
  let a = pixel(row, x, inside);
  let b = pixel(row, x + step, inside);
  let c = pixel(row, x + 2 * step, inside);
  let d = pixel(row, x + 3 * step, inside);
  output[3u * at] = vec4<f32>(a, b.x);
  output[3u * at + 1u] = vec4<f32>(b.yz, c.xy);
  output[3u * at + 2u] = vec4<f32>(c.z, d);
}
