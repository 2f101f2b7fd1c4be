import { z } from 'zod';

const placesOfSchemas = new WeakMap<z.ZodType, ReadonlyMap<string, string | null>>();

/**
 * Where a body of this schema has a member of this name, `settings.openid.redirect_uris`; null where it has none, or
 * several. What stands in lists and in objects without a shape has no such place.
 */
export function placeOf(name: string, schema: z.ZodType): string | null {
  const known = placesOfSchemas.get(schema) ?? new Map(collected(schema));
  placesOfSchemas.set(schema, known);
  return known.get(name) ?? null;
}

function collected(schema: z.ZodType): Map<string, string | null> {
  const places = new Map<string, string | null>();
  const collect = (object: z.ZodType, above: string): void => {
    for (const [name, member] of Object.entries(shapeOf(object))) {
      const path = above + name;
      places.set(name, places.has(name) ? null : path);
      collect(member as z.ZodType, `${path}.`);
    }
  };
  collect(schema, '');
  return places;
}

/** Of what is an object once it is there; whatever may be given instead of one is passed over. */
function shapeOf(schema: z.ZodType): z.core.$ZodShape {
  if (schema instanceof z.ZodObject) return schema.shape;
  if (schema instanceof z.ZodPipe) return shapeOf(schema.in as z.ZodType);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  )
    return shapeOf(schema.unwrap() as z.ZodType);
  return {};
}
