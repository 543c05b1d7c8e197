/**
 * A picture of the Mandelbrot set, a task for each tile.
 *
 *   shoal run examples/mandelbrot.ts [FILE.png] [--width 1920] [--height 1280] [--samples 2]
 *                                    [--x X] [--y Y] [--zoom Z] [--iterations N]
 *
 * `--samples 2` computes 2 × 2 points for each pixel. Colours follow the smooth number of iterations, and light falls
 * on the slope of the potential, so that what surrounds the set looks embossed.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';
import { main, task } from 'shoal';

const tileSize = 128;

/** Night, deep water, sky, sand, amber, embers, and night again; red, green and blue as light. */
const palette = [
  [0, 0.03, 0.12],
  [0.01, 0.12, 0.4],
  [0.3, 0.6, 0.9],
  [1, 0.95, 0.8],
  [1, 0.5, 0.05],
  [0.25, 0.03, 0.02],
] as const;
const parts = [0, 1, 2] as const;
/** Where the light comes from: the upper right. */
const sun = { x: Math.SQRT1_2, y: Math.SQRT1_2, height: 1.5 };

interface View {
  width: number;
  height: number;
  /** Points for a pixel, in each direction. */
  samples: number;
  x: number;
  y: number;
  /** At zoom 1 the whole set is in the picture. */
  zoom: number;
  iterations: number;
}

interface Tile {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Painted {
  tile: Tile;
  /** Red, green and blue of each pixel, row by row. */
  pixels: Uint8Array;
}

export const paint = task('mandelbrot.paint', ({ view, tile }: { view: View; tile: Tile }): Painted => {
  const { width, height, samples, iterations } = view;
  const step = 2.6 / (view.zoom * height * samples);
  const pixels = new Uint8Array(tile.width * tile.height * 3);
  const light = new Float64Array(3);
  let at = 0;
  for (let row = tile.top; row < tile.top + tile.height; row++) {
    for (let column = tile.left; column < tile.left + tile.width; column++) {
      light.fill(0);
      for (let sample = 0; sample < samples * samples; sample++) {
        const x = view.x + (column * samples + (sample % samples) - (width * samples - 1) / 2) * step;
        const y = view.y - (row * samples + Math.floor(sample / samples) - (height * samples - 1) / 2) * step;
        addLight(light, x, y, iterations);
      }
      // Light was added up as it is; a screen expects about its square root.
      for (const part of light) pixels[at++] = Math.round(255 * Math.sqrt(part / samples ** 2));
    }
  }
  return { tile, pixels };
});

main(async ({ args }) => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      width: { type: 'string', default: '1920' },
      height: { type: 'string', default: '1280' },
      samples: { type: 'string', default: '2' },
      x: { type: 'string', default: '-0.7746806106269039' },
      y: { type: 'string', default: '-0.1374168856037867' },
      zoom: { type: 'string', default: '400000' },
      iterations: { type: 'string', default: '3000' },
    },
  });
  const { x, y, zoom, width, height, samples, iterations } = values;
  const view: View = {
    width: Number(width),
    height: Number(height),
    samples: Number(samples),
    x: Number(x),
    y: Number(y),
    zoom: Number(zoom),
    iterations: Number(iterations),
  };
  const file = positionals[0] ?? 'mandelbrot.png';
  const picture = new Uint8Array(view.width * view.height * 3);
  const inputs = [...tiles(view)].map((tile) => ({ view, tile }));
  for await (const painted of paint.map(inputs, { order: 'completion', progress: 'Painting' })) place(painted, picture, view.width);
  await writeFile(file, png(view.width, view.height, picture));
  console.log(file);
});

function* tiles({ width, height }: View): Generator<Tile> {
  for (let top = 0; top < height; top += tileSize) {
    for (let left = 0; left < width; left += tileSize) {
      yield { left, top, width: Math.min(tileSize, width - left), height: Math.min(tileSize, height - top) };
    }
  }
}

function place({ tile, pixels }: Painted, picture: Uint8Array, width: number): void {
  const rowBytes = tile.width * 3;
  for (let row = 0; row < tile.height; row++) {
    picture.set(pixels.subarray(row * rowBytes, (row + 1) * rowBytes), ((tile.top + row) * width + tile.left) * 3);
  }
}

/** Adds what a point gives of red, green and blue. A point of the set gives none. */
function addLight(light: Float64Array, cx: number, cy: number, iterations: number): void {
  let x = 0;
  let y = 0;
  let squareX = 0;
  let squareY = 0;
  // The derivative of the iterated function tells which way the potential slopes.
  let slopeX = 0;
  let slopeY = 0;
  let count = 0;
  for (; count < iterations && squareX + squareY < 1e6; count++) {
    const nextSlopeX = 2 * (x * slopeX - y * slopeY) + 1;
    slopeY = 2 * (x * slopeY + y * slopeX);
    slopeX = nextSlopeX;
    y = 2 * x * y + cy;
    x = squareX - squareY + cx;
    squareX = x * x;
    squareY = y * y;
  }
  if (count === iterations) return;
  const smooth = count + 1 - Math.log2(Math.log(squareX + squareY) / Math.log(1e6));
  const slope = Math.sqrt((slopeX * slopeX + slopeY * slopeY) * (squareX + squareY));
  const towardsLight = ((x * slopeX + y * slopeY) * sun.x + (y * slopeX - x * slopeY) * sun.y) / slope;
  const brightness = Math.max(0, (towardsLight + sun.height) / (1 + sun.height));
  // The logarithm keeps colours wide apart where counts grow fast, close to the set.
  const position = 3.3 * Math.log(smooth + 8);
  const before = palette[Math.floor(position) % palette.length]!;
  const after = palette[Math.floor(position + 1) % palette.length]!;
  const share = position % 1;
  for (const part of parts) light[part]! += brightness * (before[part] + (after[part] - before[part]) * share);
}

/** https://www.w3.org/TR/png-3/ */
function png(width: number, height: number, pixels: Uint8Array): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8); // eight bits each of red, green and blue
  const rowBytes = width * 3;
  const rows = Buffer.alloc(height * (rowBytes + 1));
  for (let row = 0; row < height; row++) {
    // Filter 1: what differs from the pixel to the left.
    const at = row * (rowBytes + 1);
    rows[at] = 1;
    for (let byte = 0; byte < rowBytes; byte++) {
      rows[at + 1 + byte] = pixels[row * rowBytes + byte]! - (byte < 3 ? 0 : pixels[row * rowBytes + byte - 3]!);
    }
  }
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', Buffer.alloc(0))]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  framed.set(body, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}
