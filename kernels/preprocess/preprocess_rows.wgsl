// Mixes the rows of what preprocess_columns.wgsl left, normalises, and writes planes: the second of
// PIL's two resize passes and all that follows it.
//
//   byte[y, x]   = clip8((2^21 + sum_t weight[y, t] * middle[start[y] + t - first, x]) >> 22)
//   output[c, i] = table[c, byte of the colour of plane c]
//
// middle: one word for each pixel, red in the lowest byte; an image is [rows.span, columns].
// plan:   i32 words, see _plan.ts; it begins with the table of 3 * 256 values as f32 bits, made on
//         the host in float64, so that every executor writes the same bits.
// output: f32 [images, 3, rows, columns].
//
// Grid: z is the image, (y, x) fold its rows * columns pixels.

override WORKGROUP: u32 = 64u;
override BGR: bool = false;

struct Params {
  images: u32,  // word of the first image in plan
  columns: u32, // columns of the output
  rows: u32,    // rows of the output
}

@group(0) @binding(0) var<storage, read> middle: array<u32>;
@group(0) @binding(1) var<storage, read> plan: array<i32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const HALF: i32 = 2097152;

fn byte_of(sum: i32) -> u32 {
  return u32(clamp(sum >> 22u, 0, 255));
}

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
  let plane = params.rows * params.columns;
  if (item >= plane) {
    return;
  }
  let y = item / params.columns;
  let x = item % params.columns;
  let image = params.images + wid.z * 8u;
  let axis = u32(plan[image + 3u]);
  let taps = u32(plan[image + 4u]);

  let count = u32(plan[axis + params.rows + y]);
  let weights = axis + 2u * params.rows + y * taps;
  var pixel = u32(plan[image + 6u]) + u32(plan[axis + y] - plan[image + 5u]) * params.columns + x;
  var sum = vec3<i32>(HALF);
  for (var t = 0u; t < count; t++) {
    let weight = plan[weights + t];
    let rgb = middle[pixel];
    sum += weight * vec3<i32>(i32(rgb & 255u), i32((rgb >> 8u) & 255u), i32((rgb >> 16u) & 255u));
    pixel += params.columns;
  }
  let first = u32(plan[image + 7u]) * 3u * plane + item;
  output[first] = value_of(0u, byte_of(select(sum.x, sum.z, BGR)));
  output[first + plane] = value_of(1u, byte_of(sum.y));
  output[first + 2u * plane] = value_of(2u, byte_of(select(sum.z, sum.x, BGR)));
}
