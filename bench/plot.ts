export interface Line {
  name: string;
  points: readonly { x: number; y: number }[];
}

export interface Plot {
  title: string;
  yLabel: string;
  /** Side by side, with one scale of y and the same lines in the same order. */
  panels: readonly { xLabel: string; lines: readonly Line[] }[];
}

const panel = { width: 300, height: 200, gap: 40 };
const margin = { top: 64, right: 24, bottom: 56, left: 64 };

/** Two colours that are told apart, also by those who see few, on the light and on the dark background. */
const style = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .background { fill: #ffffff }
  .grid { stroke: #d1d9e0 }
  .axis { stroke: #59636e }
  .line { fill: none; stroke-width: 2 }
  .of0 { stroke: #0969da } .dot.of0 { fill: #0969da }
  .of1 { stroke: #bc4c00; stroke-dasharray: 5 3 } .dot.of1 { fill: #bc4c00; stroke-dasharray: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .background { fill: #0d1117 }
    .grid { stroke: #3d444d }
    .axis { stroke: #9198a1 }
    .of0 { stroke: #4493f8 } .dot.of0 { fill: #4493f8 }
    .of1 { stroke: #db6d28 } .dot.of1 { fill: #db6d28 }
  }`;

/** An SVG of lines over logarithmic x and linear y from zero, readable on light and dark. */
export function plot({ title, yLabel, panels }: Plot): string {
  const width = margin.left + panels.length * (panel.width + panel.gap) - panel.gap + margin.right;
  const height = margin.top + panel.height + margin.bottom;
  const yTicks = ticksUpTo(Math.max(...panels.flatMap(({ lines }) => lines.flatMap(yOf))));
  const drawn = panels.map(({ xLabel, lines }, index) => {
    const left = margin.left + index * (panel.width + panel.gap);
    return `<g transform="translate(${left} ${margin.top})">\n${drawPanel(xLabel, lines, yTicks, index === 0)}\n</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">
<style>${style}
</style>
<rect class="background" width="${width}" height="${height}"/>
<text class="title" x="${margin.left}" y="24">${escapeXml(title)}</text>
${legend(panels[0]?.lines ?? [])}
<text x="16" y="${margin.top + panel.height / 2}" text-anchor="middle" transform="rotate(-90 16 ${margin.top + panel.height / 2})">${escapeXml(yLabel)}</text>
${drawn.join('\n')}
</svg>
`;
}

function drawPanel(
  xLabel: string,
  lines: readonly Line[],
  yTicks: readonly number[],
  hasYNumbers: boolean,
): string {
  const xs = [...new Set(lines.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  const [least, most] = [Math.log10(xs[0]!), Math.log10(xs.at(-1)!)];
  const top = yTicks.at(-1)!;
  const at = ({ x, y }: { x: number; y: number }) =>
    [
      least === most ? panel.width / 2 : ((Math.log10(x) - least) / (most - least)) * panel.width,
      panel.height * (1 - y / top),
    ].map((value) => value.toFixed(1));
  const grid = yTicks.map((y) => {
    const [, height] = at({ x: xs[0]!, y });
    const number = hasYNumbers ? `<text x="-8" y="${height}" text-anchor="end" dy="4">${y}</text>` : '';
    return `<path class="${y === 0 ? 'axis' : 'grid'}" d="M0 ${height}H${panel.width}"/>${number}`;
  });
  const numbers = xs.map((x) => {
    const [left] = at({ x, y: 0 });
    return `<text x="${left}" y="${panel.height + 20}" text-anchor="middle">${short(x)}</text>`;
  });
  const drawn = lines.map(({ points }, index) => {
    const path = points.map((point) => at(point).join(' ')).join('L');
    const dots = points.map((point) => {
      const [left, height] = at(point);
      return `<circle class="dot of${index}" cx="${left}" cy="${height}" r="3"/>`;
    });
    return `<path class="line of${index}" d="M${path}"/>${dots.join('')}`;
  });
  const label = `<text x="${panel.width / 2}" y="${panel.height + 44}" text-anchor="middle">${escapeXml(xLabel)}</text>`;
  return [...grid, ...numbers, ...drawn, label].join('\n');
}

function legend(lines: readonly Line[]): string {
  return lines
    .map(({ name }, index) => {
      const left = margin.left + index * 140;
      return `<path class="line of${index}" d="M${left} 42h24"/><text x="${left + 30}" y="46">${escapeXml(name)}</text>`;
    })
    .join('\n');
}

function yOf({ points }: Line): number[] {
  return points.map(({ y }) => y);
}

/** Five or so round numbers from 0 to at least `most`. */
function ticksUpTo(most: number): number[] {
  const rough = most / 5;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = magnitude * [1, 2, 5, 10].find((factor) => factor * magnitude >= rough)!;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, index) => index * step);
}

/** 1k, 10k, 1M. */
function short(value: number): string {
  if (value >= 1e6) return `${Math.round(value / 1e5) / 10}M`;
  if (value >= 1e3) return `${Math.round(value / 100) / 10}k`;
  return String(value);
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
