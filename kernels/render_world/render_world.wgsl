// Pictures of the procedural world from their descriptions: a texture, then flat parts over it, each
// an area within polygons (or strokes) with a rim, a pattern and an opacity, smoothed over a pixel.
//
// scene: vec4<f32> rows, in units of the image's side; x to the right, y down. Whole numbers are
// exact floats.
//   HEAD_QUADS rows an image:
//     0 first row of its parts, their number, texture, seed
//     1 ground rgb, duty          2 figure rgb, cells of noise along u     3 detail rgb, along v
//     4 u axis (a, b, c), warp    5 v axis, grain                          6 light x, y, -, -
//   PART_QUADS rows a part:
//     0 left, top, right, bottom  1 fill rgb, opacity      2 other rgb, pattern
//     3 rim rgb, width            4 u axis, duty           5 v axis, softness
//     6 radius, shell, first row of its edges, their number (negative: strokes)
//   one row an edge: from x, y to x, y
// output: f32[images, size, size, 3] in 0..1, or with BYTES u32[images, size, size] as RGBA bytes.
//
// Grid: (y, x) fold pixels, one for each invocation. With CULL a pixel passes over parts by their
// boxes before it reads the rest of them; without, every part is computed everywhere (naive).
// Turns of loops for a pixel: two for each part and one for each edge of a part, checked by the host.
//
// Numerics: f32. Whatever depends on the place is continuous: waves are polynomials of a triangle
// wave instead of sines, edges are ramps one pixel wide, and random numbers come from whole-number
// hashes. So rounding moves a channel by a small part of an 8-bit step, on every adapter; where it
// is then rounded to bytes, by one step at most. Hash: the finaliser of MurmurHash3 (Appleby).

override WORKGROUP: u32 = 64u;
override CULL: bool = true;
override BYTES: bool = false;

struct Params {
  pixels: u32, // images * size * size
  size: u32,   // pixels of a side
}

@group(0) @binding(0) var<storage, read> scene: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>; // f32 bits unless BYTES
@group(1) @binding(0) var<uniform> params: Params;

const HEAD_QUADS: u32 = 7u;
const PART_QUADS: u32 = 7u;
const TWO_POW_MINUS_24: f32 = 5.9604645e-8;

fn hash(x: u32) -> u32 {
  var h = x;
  h = (h ^ (h >> 16u)) * 0x85ebca6bu;
  h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
  return h ^ (h >> 16u);
}

fn hash_cell(cell: vec2<i32>, seed: u32) -> u32 {
  let c = bitcast<vec2<u32>>(cell);
  return hash((c.x * 0x9e3779b1u) ^ (c.y * 0x85ebca77u) ^ seed);
}

fn lattice(cell: vec2<i32>, seed: u32) -> f32 {
  return f32(hash_cell(cell, seed) >> 8u) * TWO_POW_MINUS_24;
}

fn smooth_step(x: vec2<f32>) -> vec2<f32> {
  return x * x * (3.0 - 2.0 * x);
}

// Value noise in 0..1.
fn noise(p: vec2<f32>, seed: u32) -> f32 {
  let base = floor(p);
  let cell = vec2<i32>(base);
  let s = smooth_step(p - base);
  let top = mix(lattice(cell, seed), lattice(cell + vec2<i32>(1, 0), seed), s.x);
  let bottom = mix(
    lattice(cell + vec2<i32>(0, 1), seed), lattice(cell + vec2<i32>(1, 1), seed), s.x,
  );
  return mix(top, bottom, s.y);
}

// Four octaves of noise in 0..1.
fn octaves(p: vec2<f32>, seed: u32) -> f32 {
  let sum = 8.0 * noise(p, seed) + 4.0 * noise(2.0 * p, seed + 1u) +
    2.0 * noise(4.0 * p, seed + 2u) + noise(8.0 * p, seed + 3u);
  return sum / 15.0;
}

// Triangle wave of period 1: 1 at whole numbers, 0 half way.
fn triangle(x: f32) -> f32 {
  return abs(2.0 * fract(x) - 1.0);
}

// The same, rounded like a cosine.
fn wave(x: f32) -> f32 {
  let t = triangle(x);
  return t * t * (3.0 - 2.0 * t);
}

// A slow rise and a fast fall: 0 at whole numbers, 1 at `top`.
fn ramp(x: f32, top: f32) -> f32 {
  let f = fract(x);
  return min(f / top, (1.0 - f) / (1.0 - top));
}

// 1 where x is positive and 0 where it is negative, over a ramp of some width.
fn edge(x: f32, width: f32) -> f32 {
  return saturate(0.5 + x / width);
}

fn parity(x: i32) -> f32 {
  return f32(x & 1);
}

struct Ground {
  q: vec2<f32>,     // texture coordinates
  pixel: vec2<f32>, // width of a pixel in each of them
  duty: f32,
  warp: f32,
  bend: f32,        // noise in -0.5..0.5
  fleck: f32,       // finer noise in 0..1
  seed: u32,
}

fn checks(g: Ground) -> vec2<f32> {
  let a = edge(triangle(g.q.x) - 0.5, 2.0 * g.pixel.x);
  let b = edge(triangle(g.q.y) - 0.5, 2.0 * g.pixel.y);
  return vec2<f32>(a + b - 2.0 * a * b, 0.0);
}

fn dunes(g: Ground) -> vec2<f32> {
  let x = g.q.y + 0.4 * wave(0.5 * g.q.x) + g.warp * g.bend;
  return vec2<f32>(ramp(x, 0.8), 0.3 * g.fleck);
}

fn water(g: Ground) -> vec2<f32> {
  let t = wave(g.q.y + 0.3 * wave(g.q.x) + g.warp * g.bend);
  return vec2<f32>(t, saturate(4.0 * (t - 0.7)) * saturate(3.0 * (g.fleck - 0.4)));
}

fn plaid(g: Ground) -> vec2<f32> {
  let a = edge(triangle(g.q.x) - g.duty, 2.0 * g.pixel.x);
  let b = edge(triangle(g.q.y) - g.duty, 2.0 * g.pixel.y);
  let thin = max(
    edge(triangle(g.q.x + 0.5) - 0.86, 2.0 * g.pixel.x),
    edge(triangle(g.q.y + 0.5) - 0.86, 2.0 * g.pixel.y),
  );
  return vec2<f32>(0.5 * (a + b), 0.7 * thin);
}

fn marble(g: Ground) -> vec2<f32> {
  let t = triangle(g.q.x + g.warp * g.bend);
  return vec2<f32>(t * t * t, 0.35 * g.fleck);
}

// The mortar is whole where one brick changes to the next.
fn tiles(g: Ground) -> vec2<f32> {
  let row = i32(floor(g.q.y));
  let x = g.q.x + 0.5 * parity(row);
  let brick = lattice(vec2<i32>(i32(floor(x)), row), g.seed);
  let border = min(1.0 - triangle(x), 0.5 * (1.0 - triangle(g.q.y)));
  let gap = max(0.4 * g.duty, 2.0 * g.pixel.x);
  return vec2<f32>(0.8 * brick + 0.2 * g.fleck, edge(gap - border, 2.0 * g.pixel.x));
}

fn hexagons(g: Ground) -> vec2<f32> {
  let period = vec2<f32>(1.0, 1.7320508);
  let a = (fract(g.q / period) - 0.5) * period;
  let b = (fract(g.q / period + 0.5) - 0.5) * period;
  let c = abs(select(b, a, dot(a, a) < dot(b, b)));
  let border = 0.5 - max(c.x, 0.5 * c.x + 0.8660254 * c.y);
  return vec2<f32>(edge(border - 0.2 * g.duty, g.pixel.x), 1.2 * border);
}

// Distances to points, one in each cell.
fn cells(g: Ground) -> vec2<f32> {
  let base = floor(g.q);
  var nearest = 9.0;
  var second = 9.0;
  for (var i = 0; i < 9; i++) {
    let step = vec2<i32>(i % 3 - 1, i / 3 - 1);
    let h = hash_cell(vec2<i32>(base) + step, g.seed);
    let jitter = vec2<f32>(f32(h & 0xffffu), f32(h >> 16u)) * (1.0 / 65535.0);
    let away = length(base + vec2<f32>(step) + jitter - g.q);
    second = min(second, max(nearest, away));
    nearest = min(nearest, away);
  }
  let border = 0.12 - (second - nearest);
  return vec2<f32>(saturate(1.1 * nearest), edge(border, 0.08 + 2.0 * g.pixel.x));
}

// Rows of discs, each hidden at its top by the row above, which ends where the next one begins.
fn scales(g: Ground) -> vec2<f32> {
  let reach = 0.70710678;
  let y = 2.0 * g.q.y;
  let row = floor(y);
  let shift = 0.5 * parity(i32(row));
  let above = length(vec2<f32>(fract(g.q.x + 0.5 - shift) - 0.5, 0.5 * (y - row) + 0.5));
  let own = length(vec2<f32>(fract(g.q.x + shift) - 0.5, 0.5 * (y - row)));
  let hidden = saturate(1.0 + (reach - above) / g.pixel.x);
  let far = mix(own, above, hidden) / reach;
  return vec2<f32>(saturate(far * far), edge(far - 0.86, 3.0 * g.pixel.x));
}

// A quarter circle around two opposite corners of each cell.
fn maze(g: Ground) -> vec2<f32> {
  let base = floor(g.q);
  let turned = (hash_cell(vec2<i32>(base), g.seed) & 1u) == 1u;
  let f = g.q - base;
  let p = vec2<f32>(select(f.x, 1.0 - f.x, turned), f.y);
  let away = min(abs(length(p) - 0.5), abs(length(p - vec2<f32>(1.0)) - 0.5));
  return vec2<f32>(edge(0.35 * g.duty - away, g.pixel.x), 0.5 * g.fleck);
}

// Strands that lie and stand by turns, with a gap where one changes to the next.
fn weave(g: Ground) -> vec2<f32> {
  let cell = vec2<i32>(floor(g.q));
  let f = abs(fract(g.q) - 0.5);
  let lies = ((cell.x + cell.y) & 1) == 0;
  let gap = max(0.08, g.pixel.x);
  return vec2<f32>(
    1.0 - 2.0 * select(f.y, f.x, lies), edge(max(f.x, f.y) - 0.5 + gap, g.pixel.x),
  );
}

// How much of the figure's colour, and over that how much of the detail's.
fn mixture(texture: u32, g: Ground) -> vec2<f32> {
  let u = g.q.x;
  let v = g.q.y;
  let bend = g.warp * g.bend;
  switch texture {
    case 0u: { return vec2<f32>(v + bend, 0.0); }
    case 1u: { return vec2<f32>(0.5 + 2.0 * g.bend, 0.8 * saturate(2.5 * (g.fleck - 0.5))); }
    case 2u: { return vec2<f32>(edge(triangle(u + bend) - g.duty, 2.0 * g.pixel.x), 0.0); }
    case 3u: { return checks(g); }
    case 4u: { return dunes(g); }
    case 5u: { return water(g); }
    case 6u: { return vec2<f32>(ramp(u + bend, 0.85), 0.6 * saturate(4.0 * (g.fleck - 0.5))); }
    case 7u: { return vec2<f32>(5.0 * (g.bend + 0.5 - g.duty), 0.4 * g.fleck); }
    case 8u: { return vec2<f32>(edge(0.5 * g.duty - length(fract(g.q) - 0.5), g.pixel.x), 0.0); }
    case 9u: { return plaid(g); }
    case 10u: { return marble(g); }
    case 11u: { return tiles(g); }
    case 12u: { return hexagons(g); }
    case 13u: { return vec2<f32>(wave(length(g.q) + bend), 0.0); }
    case 14u: { return vec2<f32>(edge(triangle(v + g.warp * triangle(u)) - g.duty, 2.0 * g.pixel.y), 0.0); }
    case 15u: { return cells(g); }
    case 16u: { return scales(g); }
    case 17u: { return maze(g); }
    default: { return weave(g); }
  }
}

fn bytes_of(h: u32) -> vec3<f32> {
  return vec3<f32>(vec3<u32>(h, h >> 8u, h >> 16u) & vec3<u32>(255u)) * (1.0 / 255.0);
}

// Colours that each pixel has for itself: 19 even, 20 near the normal law (four even ones, deviation
// 0.25), 21 smooth, each channel apart.
fn random_colour(texture: u32, g: Ground, key: u32) -> vec3<f32> {
  if (texture == 21u) {
    let seeds = g.seed + vec3<u32>(0u, 16u, 32u);
    let p = g.q + g.warp * g.bend;
    return 0.5 + 1.6 * (vec3<f32>(noise(p, seeds.x), noise(p, seeds.y), noise(p, seeds.z)) - 0.5);
  }
  let first = bytes_of(key);
  if (texture == 19u) {
    return first;
  }
  let sum = first + bytes_of(hash(key + 1u)) + bytes_of(hash(key + 2u)) + bytes_of(hash(key + 3u));
  return 0.5 + 0.4330127 * (sum - 2.0);
}

fn backdrop(head: u32, p: vec2<f32>, place: u32) -> vec3<f32> {
  let texture = u32(scene[head].z);
  let seed = u32(scene[head].w);
  let ground = scene[head + 1u];
  let figure = scene[head + 2u];
  let detail = scene[head + 3u];
  let u = scene[head + 4u];
  let v = scene[head + 5u];
  var g: Ground;
  g.q = vec2<f32>(u.x * p.x + u.y * p.y + u.z, v.x * p.x + v.y * p.y + v.z);
  g.pixel = max(vec2<f32>(length(u.xy), length(v.xy)) / f32(params.size), vec2<f32>(1e-6));
  g.duty = ground.w;
  g.warp = u.w;
  g.seed = seed;
  let cell = g.q * vec2<f32>(figure.w, detail.w);
  g.bend = octaves(cell, seed) - 0.5;
  g.fleck = noise(5.0 * cell + 0.5, seed + 4u);
  let key = hash(place ^ (seed * 0x9e3779b1u));
  var colour: vec3<f32>;
  if (texture < 19u) {
    let share = saturate(mixture(texture, g));
    colour = mix(mix(ground.rgb, figure.rgb, share.x), detail.rgb, share.y);
  } else {
    colour = random_colour(texture, g, key);
  }
  return colour;
}

// The signed distance to a part's outline: negative inside.
fn outline_distance(p: vec2<f32>, shape: vec4<f32>) -> f32 {
  let count = u32(abs(shape.w));
  let first = u32(shape.z);
  var nearest = 1e9;
  var inside = false;
  for (var i = 0u; i < count; i++) {
    let ends = scene[first + i];
    let along = ends.zw - ends.xy;
    let offset = p - ends.xy;
    let share = saturate(dot(offset, along) / max(dot(along, along), 1e-12));
    let away = offset - share * along;
    nearest = min(nearest, dot(away, away));
    let crosses = (ends.y <= p.y) != (ends.w <= p.y);
    let right = (along.x * offset.y > along.y * offset.x) == (along.y > 0.0);
    inside = inside != (crosses && right);
  }
  let away = sqrt(nearest);
  let to_rim = select(away, -away, inside && shape.w > 0.0) - shape.x;
  return select(to_rim, abs(to_rim) - shape.y, shape.y > 0.0);
}

// How much of the second colour a part's pattern has at a place.
fn second_share(code: u32, p: vec2<f32>, u: vec4<f32>, v: vec4<f32>) -> f32 {
  let q = vec2<f32>(u.x * p.x + u.y * p.y + u.z, v.x * p.x + v.y * p.y + v.z);
  let pixel = max(length(u.xy) / f32(params.size), 1e-6);
  let a = edge(triangle(q.x) - u.w, 2.0 * pixel);
  let b = edge(triangle(q.y) - u.w, 2.0 * pixel);
  let spot = edge(u.w - length(fract(q) - 0.5), pixel);
  let slope = select(0.0, saturate(q.x), code == 4u);
  return select(select(select(slope, a + b - 2.0 * a * b, code == 3u), spot, code == 2u), a, code == 1u);
}

fn paint(colour: vec3<f32>, row: u32, p: vec2<f32>) -> vec3<f32> {
  let fill = scene[row + 1u];
  let other = scene[row + 2u];
  let rim = scene[row + 3u];
  let u = scene[row + 4u];
  let v = scene[row + 5u];
  let away = outline_distance(p, scene[row + 6u]);
  let width = max(v.w, 1.0 / f32(params.size));
  let share = saturate(0.5 - away / width) * fill.w;
  let core = select(1.0, saturate(0.5 - (away + rim.w) / width), rim.w > 0.0);
  let body = mix(fill.rgb, other.rgb, second_share(u32(other.w), p, u, v));
  return mix(colour, mix(rim.rgb, body, core), share);
}

fn parts_over(ground: vec3<f32>, head: u32, p: vec2<f32>) -> vec3<f32> {
  var row = u32(scene[head].x);
  let end = row + PART_QUADS * u32(scene[head].y);
  let reach = 1.0 / f32(params.size);
  var colour = ground;
  while (row < end) {
    if (CULL) {
      while (row < end) {
        let box = scene[row];
        if (all(p > box.xy - reach) && all(p < box.zw + reach)) {
          break;
        }
        row += PART_QUADS;
      }
    }
    if (row < end) {
      colour = paint(colour, row, p);
      row += PART_QUADS;
    }
  }
  return colour;
}

fn as_bytes(colour: vec3<f32>) -> u32 {
  let c = vec3<u32>(round(colour * 255.0));
  return c.x | (c.y << 8u) | (c.z << 16u) | 0xff000000u;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  if (item >= params.pixels) {
    return;
  }
  let area = params.size * params.size;
  let place = item % area;
  let p = (vec2<f32>(vec2<u32>(place % params.size, place / params.size)) + 0.5) / f32(params.size);
  let head = (item / area) * HEAD_QUADS;
  let light = scene[head + 6u].xy;
  let seed = u32(scene[head].w);
  let grain = scene[head + 5u].w * (bytes_of(hash(place * 3u + (seed ^ 0x5bd1e995u))) - 0.5);
  let lit = parts_over(backdrop(head, p, place), head, p) * (1.0 + dot(light, p - 0.5));
  let colour = saturate(lit + grain);
  if (BYTES) {
    output[item] = as_bytes(colour);
  } else {
    output[3u * item] = bitcast<u32>(colour.r);
    output[3u * item + 1u] = bitcast<u32>(colour.g);
    output[3u * item + 2u] = bitcast<u32>(colour.b);
  }
}
