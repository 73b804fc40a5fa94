// The whole way from bytes to planes in one kernel: for each output pixel, each row that it mixes
// is mixed from its columns anew. The permanent baseline: no intermediate image, taps * taps reads.
// Mesa's lavapipe silently ends an invocation after 65,535 loop turns in all, so there it must not
// shrink an image by more than about 120 times.
//
// pixels: bytes of RGB pixels, tightly packed, four to a word; every job's first row begins a word.
// plan:   i32 words, see _plan.ts; it begins with the table of 3 * 256 values as f32 bits.
// output: f32 [images, 3, rows, columns].
//
// Grid: z is the job, always one whole image; (y, x) fold the rows * columns output pixels.

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

const HALF: i32 = 2097152;

fn clip8(sum: vec3<i32>) -> vec3<i32> {
  return clamp(sum >> vec3<u32>(22u), vec3<i32>(0), vec3<i32>(255));
}

fn load_byte(word: u32, byte: u32) -> i32 {
  return i32((pixels[word + (byte >> 2u)] >> ((byte & 3u) * 8u)) & 255u);
}

fn value_of(plane: u32, byte: i32) -> f32 {
  return bitcast<f32>(plan[plane * 256u + u32(byte)]);
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
  let job = params.jobs + wid.z * 4u;
  let image = u32(plan[job]);
  let word = u32(plan[job + 3u]);
  let y = item / params.columns;
  let x = item % params.columns;
  let width = u32(plan[image]);
  let column_axis = u32(plan[image + 1u]);
  let column_weights = column_axis + 2u * params.columns + x * u32(plan[image + 2u]);
  let row_axis = u32(plan[image + 3u]);
  let row_weights = row_axis + 2u * params.rows + y * u32(plan[image + 4u]);
  let first_row = u32(plan[row_axis + y] - plan[image + 5u]);
  let first_column = u32(plan[column_axis + x]);

  var sum = vec3<i32>(HALF);
  for (var i = 0u; i < u32(plan[row_axis + params.rows + y]); i++) {
    var mixed = vec3<i32>(HALF);
    for (var j = 0u; j < u32(plan[column_axis + params.columns + x]); j++) {
      let byte = ((first_row + i) * width + first_column + j) * 3u;
      let rgb = vec3<i32>(
        load_byte(word, byte),
        load_byte(word, byte + 1u),
        load_byte(word, byte + 2u),
      );
      mixed += plan[column_weights + j] * rgb;
    }
    sum += plan[row_weights + i] * clip8(mixed);
  }
  let rgb = clip8(sum);
  let first = u32(plan[image + 7u]) * 3u * plane + item;
  output[first] = value_of(0u, select(rgb.x, rgb.z, BGR));
  output[first + plane] = value_of(1u, rgb.y);
  output[first + 2u * plane] = value_of(2u, select(rgb.z, rgb.x, BGR));
}
