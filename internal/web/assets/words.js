// Numbers as people read them.

export const percent = (score) => `${(100 * score).toFixed(100 * score < 9.95 ? 1 : 0)} %`;
export const seconds = (s) => (s < 10 ? `${s.toFixed(1)} s` : s < 90 ? `${Math.round(s)} s` : `${Math.round(s / 60)} min`);
export const pictures = (n) => `${n.toLocaleString("en")} ${n === 1 ? "picture" : "pictures"}`;

// arc is a share of a circle whose length is 100, as a dash pattern. A whole one overlaps its own seam.
export const arc = (part) => `${part < 1 ? (100 * part).toFixed(1) : 101} 100`;
