// Keeps each element with probability 1 - rate, scaled by `factor`, and makes the others 0.
//
//   y[i] = factor x[i] where u[i] >= rate, else 0
//
// u[i] is the uniform number at position i of a stream of Philox4x32-10, as random.wgsl makes it: a
// function of seed, stream and i alone, so that the gradient makes the same choice again.
//
// Shapes: x, y: Elem[end or more]. Elements begin to end are read and written.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y. One block of four words per invocation.

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

struct Params {
  begin: u32,
  end: u32,
  seed_low: u32,
  seed_high: u32,
  stream: u32,
  rate: f32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

const MULTIPLIER_0: u32 = 0xd2511f53u;
const MULTIPLIER_1: u32 = 0xcd9e8d57u;
const WEYL_0: u32 = 0x9e3779b9u;
const WEYL_1: u32 = 0xbb67ae85u;
const ROUNDS: u32 = 10u;
const TWO_POW_MINUS_24: f32 = 5.9604645e-8;

// High 32 bits of the 64-bit product, by 16-bit halves: WGSL has no wide product.
fn multiply_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}

// Four uniform numbers of a block.
fn uniforms(block: u32) -> vec4<f32> {
  var counter = vec4<u32>(block, 0u, params.stream, 0u);
  var key = vec2<u32>(params.seed_low, params.seed_high);
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
    let high_0 = multiply_high(MULTIPLIER_0, counter.x);
    let high_1 = multiply_high(MULTIPLIER_1, counter.z);
    counter = vec4<u32>(
      high_1 ^ counter.y ^ key.x,
      MULTIPLIER_1 * counter.z,
      high_0 ^ counter.w ^ key.y,
      MULTIPLIER_0 * counter.x,
    );
    key += vec2<u32>(WEYL_0, WEYL_1);
  }
  return vec4<f32>(counter >> vec4<u32>(8u)) * TWO_POW_MINUS_24;
}

// The uniform numbers of element i.
fn chances(i: u32) -> Elem {
  if (WIDTH == 4u) { // @static
    return uniforms(i);
  }
  return Elem(uniforms(i >> 2u)[i & 3u]);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.end) {
    y[i] = select(Elem(0.0), params.factor * x[i], chances(i) >= Elem(params.rate));
  }
}
