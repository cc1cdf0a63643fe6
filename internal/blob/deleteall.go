package blob

import "context"

// DeleteAll removes every blob whose key begins with prefix. It does so in groups, so that memory stays small however much there is;
// after an error some of it may be gone.
func DeleteAll(ctx context.Context, s Store, prefix string) error {
	const group = 1000
	var keys []string
	for info, err := range s.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if keys = append(keys, info.Key); len(keys) == group {
			if err := s.Delete(ctx, keys...); err != nil {
				return err
			}
			keys = keys[:0]
		}
	}
	return s.Delete(ctx, keys...)
}
