package servers

// Dir holds everything the server has written.
func (s *S3Server) Dir() string { return s.dir }

// Dir holds everything the server has written.
func (p *PostgresServer) Dir() string { return p.dir }
