package hashivault

// Classify is what turns the client's errors into keytree's.
var Classify = classify
