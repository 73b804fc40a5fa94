// Mixes the columns of images: the first of PIL's two resize passes, for the rows and columns that
// the crop needs.
//
//   middle[row, x] = clip8((2^21 + sum_t weight[x, t] * pixel[row, start[x] + t]) >> 22), per colour
//
// pixels: bytes of RGB pixels, tightly packed, four to a word; every job's first row begins a word.
// plan:   i32 words, see _plan.ts: images, jobs, and each axis as starts, counts, weights.
// middle: one word for each pixel, red in the lowest byte; an image is [rows.span, columns].
//
// Grid: z is the job (a band of rows of one image), (y, x) fold its rows * columns pixels.
// Whole numbers throughout, so every adapter gives the same bytes. At most 255 * 2^22 * 1.3 < 2^31.
//
// Source: the arithmetic of PIL's 8-bit resize (Pillow, Resample.c), rewritten from its definition.

override WORKGROUP: u32 = 64u;

struct Params {
  jobs: u32,    // word of the first job in plan
  columns: u32, // columns of the output
}

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> plan: array<i32>;
@group(0) @binding(2) var<storage, read_write> middle: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const HALF: i32 = 2097152;

fn byte_of(sum: i32) -> u32 {
  return u32(clamp(sum >> 22u, 0, 255));
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
  let row = item / params.columns;
  let x = item % params.columns;
  let image = u32(plan[job]);
  let width = u32(plan[image]);
  let axis = u32(plan[image + 1u]);
  let taps = u32(plan[image + 2u]);

  let start = u32(plan[axis + x]);
  let count = u32(plan[axis + params.columns + x]);
  let weights = axis + 2u * params.columns + x * taps;

  // Pixels lie 24 bits apart: two words are held, and the next is loaded when the first is used up.
  let first = (row * width + start) * 3u;
  var word = u32(plan[job + 3u]) + (first >> 2u);
  var shift = (first & 3u) * 8u;
  var low = pixels[word];
  var high = pixels[word + 1u];
  var sum = vec3<i32>(HALF);
  for (var t = 0u; t < count; t++) {
    let weight = plan[weights + t];
    let rgb = (low >> shift) | select(high << (32u - shift), 0u, shift == 0u);
    sum += weight * vec3<i32>(i32(rgb & 255u), i32((rgb >> 8u) & 255u), i32((rgb >> 16u) & 255u));
    shift += 24u;
    if (shift >= 32u) {
      shift -= 32u;
      word++;
      low = high;
      high = pixels[word + 1u];
    }
  }
  let target_pixel = u32(plan[image + 6u]) + u32(plan[job + 1u]) * params.columns + item;
  middle[target_pixel] = byte_of(sum.x) | (byte_of(sum.y) << 8u) | (byte_of(sum.z) << 16u);
}
