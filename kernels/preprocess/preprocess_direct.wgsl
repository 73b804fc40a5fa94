// Normalises images that need no resize, crop or padding, and writes planes.
//
//   output[c, i] = table[c, byte of the colour of plane c]
//
// pixels: bytes of RGB pixels, tightly packed, four to a word; every job's first row begins a word.
// plan:   i32 words, see _plan.ts; it begins with the table of 3 * 256 values as f32 bits.
// output: f32 [images, 3, rows, columns].
//
// Grid: z is the job (a band of rows of one image), (y, x) fold its rows * columns pixels.

override WORKGROUP: u32 = 64u;
override BGR: bool = false;

struct Params {
  jobs: u32,    // word of the first job in plan
  columns: u32, // columns of the output
  rows: u32,    // rows of the output
}

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> plan: array<i32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

fn value_of(plane: u32, byte: u32) -> f32 {
  return bitcast<f32>(plan[plane * 256u + byte]);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  let job = params.jobs + wid.z * 4u;
  if (item >= u32(plan[job + 2u]) * params.columns) {
    return;
  }
  let image = u32(plan[job]);
  let byte = item * 3u;
  let word = u32(plan[job + 3u]) + (byte >> 2u);
  let shift = (byte & 3u) * 8u;
  var rgb = pixels[word] >> shift;
  if (shift > 8u) {
    rgb |= pixels[word + 1u] << (32u - shift);
  }
  let red = rgb & 255u;
  let blue = (rgb >> 16u) & 255u;
  let plane = params.rows * params.columns;
  let first = u32(plan[image + 7u]) * 3u * plane + u32(plan[job + 1u]) * params.columns + item;
  output[first] = value_of(0u, select(red, blue, BGR));
  output[first + plane] = value_of(1u, (rgb >> 8u) & 255u);
  output[first + 2u * plane] = value_of(2u, select(blue, red, BGR));
}
